"""The tile that is found best is remembered, and changes how much moves, never what is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skyloom.errors import SpecError
from skyloom.runtime import networks
from skyloom.runtime.networks import Network
from skyloom.runtime.tuning import find_tile_rows, remembered_rows


class PerCall(nn.Module):
    """Takes as long for one row as for many: the largest tile is the best."""

    limit = 10**9

    def forward(self, x):
        if len(x) > self.limit:
            raise MemoryError
        for _ in range(200):
            torch.ones(1).add(1)
        return x


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(networks, "_tiles", {})
    return tmp_path


SAMPLE = {"x": np.ones((3, 2), np.float32)}


def test_the_fastest_tile_is_found_and_remembered_and_the_network_keeps_its_own(cache):
    network = Network(PerCall(), tile_rows=8)
    assert remembered_rows(*network.key) is None
    assert find_tile_rows(network, SAMPLE, (4, 256), budget=1.0) == 256
    assert remembered_rows(*network.key) == 256
    assert remembered_rows(network.key[0], "cuda NVIDIA Toy") is None
    assert network.tile_rows == 8
    assert [p.name for p in (cache / "skyloom").iterdir()] == ["tiles.json"]


def test_what_does_not_fit_ends_the_search(monkeypatch):
    monkeypatch.setattr(PerCall, "limit", 20)
    network = Network(PerCall())
    assert find_tile_rows(network, SAMPLE, (4, 16, 32), budget=0.5) == 16
    assert network.tile_rows == 64
    with pytest.raises(MemoryError):
        find_tile_rows(network, SAMPLE, (32,), budget=0.5)


def test_a_torn_cache_is_no_cache_and_is_written_anew(cache):
    network = Network(PerCall())
    (cache / "skyloom").mkdir()
    (cache / "skyloom" / "tiles.json").write_text("{torn")
    assert remembered_rows(*network.key) is None
    find_tile_rows(network, SAMPLE, (4,), budget=0.1)
    assert remembered_rows(*network.key) == 4


def test_nothing_to_measure_is_a_wrong_request():
    with pytest.raises(SpecError, match="at least one row"):
        find_tile_rows(Network(PerCall()), {"x": np.ones((0, 2))})
