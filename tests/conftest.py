"""What all tests share: where survey data lie, and a small catalog."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that a test may `from tiny_catalogs import ...`


@pytest.fixture(scope="session")
def skyloom_data() -> Path:
    """The folder of real survey data: $SKYLOOM_DATA, or ../shared/data beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKYLOOM_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no survey data at {folder}; set SKYLOOM_DATA to the folder that holds them")
    return folder


@pytest.fixture
def tiny_catalog(tmp_path: Path) -> Callable[..., Path]:
    """A maker of small HATS catalogs: `tiny_catalog("name", rows=240, seed=0, threshold=40) -> Path`."""
    from tiny_catalogs import write_tiny_catalog

    def make(name: str = "tiny", **settings: int) -> Path:
        return write_tiny_catalog(tmp_path / name, **settings)

    return make


@pytest.fixture(scope="session")
def shared_tiny_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small catalog for all tests of a process. Read only: never write into it."""
    from tiny_catalogs import write_tiny_catalog

    return write_tiny_catalog(tmp_path_factory.mktemp("catalogs") / "tiny")
