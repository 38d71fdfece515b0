"""Every cluster file in deploy/ is one that `--cluster` takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from skyloom.cluster import ClusterSpec

FILES = sorted((Path(__file__).parents[2] / "deploy").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_cluster_file_has_only_keys_that_there_are(path):
    assert ClusterSpec.model_validate(tomllib.loads(path.read_text())).kind in {"local", "scheduler"}
