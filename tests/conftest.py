"""What all tests share: where survey data lie, and a small catalog."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="session")
def named_sky(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A small catalog whose ids are texts, with the layer `features` in `layers`; labels may be added, no more."""
    import pyarrow as pa

    from skyloom.jobs import run
    from skyloom.jobs.spec import parse_job
    from tiny_catalogs import objects, write_hats

    root = tmp_path_factory.mktemp("named")
    table = objects(60, longest=30)
    names = [f"ZTF18-{i}" for i in table["object_id"].to_pylist()]
    field = pa.field("object_id", pa.string(), metadata={"ucd": "meta.id;meta.main"})
    write_hats(root / "sky", table.set_column(table.column_names.index("object_id"), field, pa.array(names)))
    values = {"job": "named", "model": "lightcurve-features", "layer": "features"}
    values |= {"input": {"catalog": str(root / "sky")}, "output": {"store": str(root / "layers")}}
    run(parse_job(values, where="test"), cluster="in-process", progress=False)
    return SimpleNamespace(catalog=root / "sky", layers=root / "layers", names=names)
