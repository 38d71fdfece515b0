"""Networks compute the same bits for a row, whatever stands beside it, and never touch their input."""

from __future__ import annotations

import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.runtime import device, networks
from skyloom.runtime.device import DeviceSettings
from skyloom.runtime.feeds import CudaFeed, HostFeed
from skyloom.runtime.networks import (
    Network,
    architecture_digest,
    load_state,
    module_digest,
    state_arrays,
    watched,
)
from skyloom.runtime.tensors import tensor_column, tensor_values

SIDE = 9


class Toy(nn.Module):
    """A small network with what breaks most promises: a convolution, a batch norm, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(8, 4)

    def forward(self, image, redshift):
        inner = torch.relu(self.norm(self.conv(image))).mean(dim=(2, 3))
        return {"features": inner, "score": self.last(self.drop(inner)) + redshift[:, None]}


class FromImage(nn.Module):
    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.last = last

    def forward(self, image):
        return self.last(image)


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    toy = Toy()
    toy(torch.randn(20, 3, SIDE, SIDE) + 1.0, torch.zeros(20))  # moves the batch norm's statistics
    return toy


def rows_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": rng.normal(size=(n, 3, SIDE, SIDE)).astype(np.float32), "redshift": rng.random(n, np.float32)}


def same(a, b):
    return set(a) == set(b) and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 31, 130])
def test_a_row_has_the_same_bits_in_any_batch(module, size):
    network, rows = Network(module, tile_rows=16), rows_of(130)
    whole = network(**rows)
    parts = [network(**{k: v[i : i + size] for k, v in rows.items()}) for i in range(0, 130, size)]
    assert same(whole, {k: np.concatenate([part[k] for part in parts]) for k in whole})


def test_a_row_has_the_same_bits_in_any_order(module):
    network, rows = Network(module, tile_rows=16), rows_of(50)
    mixed = np.random.default_rng(1).permutation(50)
    whole = network(**rows)
    assert same({k: v[mixed] for k, v in whole.items()}, network(**{k: v[mixed] for k, v in rows.items()}))


def test_a_row_of_nans_harms_no_other_row(module):
    network, rows = Network(module), rows_of(10)
    clean = network(**rows)
    rows["image"][3] = np.nan
    rows["image"][4, 0, 0, 0] = np.inf
    dirty = network(**rows)
    others = [i for i in range(10) if i not in {3, 4}]
    assert same({k: v[others] for k, v in clean.items()}, {k: v[others] for k, v in dirty.items()})
    assert np.isnan(dirty["score"][3]).all()


def test_it_agrees_with_the_module_itself(module):
    rows = rows_of(37)
    found = Network(module)(**rows)
    module.eval()
    with torch.no_grad():
        expected = module(**{k: torch.tensor(v) for k, v in rows.items()})
    module.train()
    assert_allclose(found["score"], expected["score"].numpy(), rtol=1e-5, atol=1e-6)


def test_no_rows_give_outputs_without_rows(module):
    none = Network(module)(**rows_of(0))
    assert {k: v.shape for k, v in none.items()} == {"features": (0, 8), "score": (0, 4)}


def test_a_single_tensor_is_called_out_and_the_module_goes_on_training():
    linear = FromImage(nn.Linear(2, 3))
    out = Network(linear)(image=np.ones((5, 2)))
    assert out["out"].shape == (5, 3)
    assert out["out"].dtype == np.float32
    assert linear.training
    assert all(p.requires_grad for p in linear.parameters())


def test_read_only_memory_of_arrow_is_neither_written_nor_warned_of(module):
    rows = rows_of(40)
    before = rows["image"].copy()
    batch = pa.RecordBatch.from_arrays([tensor_column(rows["image"])], names=["image"])
    values, _ = tensor_values(batch.slice(1), "image", (3, SIDE, SIDE))
    assert not values.flags.writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Network(module)(image=values, redshift=rows["redshift"][1:])
    assert same(found, Network(module)(**{k: v[1:] for k, v in rows.items()}))
    assert np.array_equal(rows["image"], before)


def test_tiles_lie_in_one_place_of_their_own_and_the_last_is_filled_up():
    raw = np.zeros(64 * 10 + 64, np.uint8)
    first = -raw.ctypes.data % 64
    values = raw[first : first + 640].view(np.float32).reshape(10, 16)
    values[:] = np.arange(10)[:, None]
    seen = [(t["x"].data_ptr(), t["x"][:, 0].tolist()) for t in HostFeed().tiles({"x": values}, 10, 4)]
    assert [rows for _, rows in seen] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]
    assert len({place for place, _ in seen}) == 1
    assert not values.ctypes.data <= seen[0][0] < values.ctypes.data + 640


def test_a_module_that_hands_its_input_through_gives_every_row_its_own():
    values = np.arange(10 * 3, dtype=np.float32).reshape(10, 3)
    found = Network(torch.nn.Identity(), tile_rows=4)
    found.module.forward = lambda x: x
    assert np.array_equal(found(x=values)["out"], values)


def test_every_tile_begins_at_a_multiple_of_64_bytes():
    values = np.ones((50, 7), np.float32)[1:]
    for tile in HostFeed().tiles({"x": values}, 49, 3):
        assert tile["x"].data_ptr() % 64 == 0


def test_a_module_that_writes_into_its_input_is_refused_and_the_input_is_whole():
    values = np.full((64, 4), -1.0, np.float32)
    with pytest.raises(DataError, match="writes into its input 'image'") as caught:
        Network(FromImage(nn.ReLU(inplace=True)))(image=values)
    assert caught.value.kind == ErrorKind.MODEL_OUTPUT
    assert (values == -1).all()


def test_a_module_that_stays_in_training_is_refused():
    class Stubborn(nn.Dropout):
        def eval(self):
            return self

        def train(self, mode=True):
            self.training = True
            return self

    with pytest.raises(SpecError, match="last stays in training"):
        Network(FromImage(Stubborn()))


def test_outputs_that_are_not_rows_are_refused():
    with pytest.raises(DataError, match=r"'out' has shape \(128,\) for 64 rows"):
        Network(FromImage(nn.Flatten(0)))(image=np.ones((3, 2), np.float32))
    with pytest.raises(SpecError, match="one length"):
        Network(Toy())(image=np.ones((3, 3, 9, 9)), redshift=np.ones(2))


class Hungry(nn.Module):
    """Fails as torch does when a tile is larger than the memory."""

    def __init__(self, limit: int, error: Exception) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(limit)))
        self.limit, self.error = limit, error

    def forward(self, image):
        if len(image) > self.limit:
            raise self.error
        return image * 2.0


OUT = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    torch.AcceleratorError("CUDA error: out of memory"),
]


@pytest.mark.parametrize("error", OUT, ids=["gpu", "host", "allocator", "cudnn", "driver"])
def test_out_of_memory_halves_the_tile_and_is_remembered(error, caplog, monkeypatch):
    monkeypatch.setattr(networks, "_tiles", {})
    hungry = Hungry(10, error)
    network = Network(hungry, tile_rows=64)
    with caplog.at_level(logging.WARNING):
        out = network(image=np.ones((20, 2), np.float32))
    assert out["out"].shape == (20, 2)
    assert network.tile_rows == 8
    assert "tiles have 8 rows from now on" in caplog.text
    assert Network(hungry, tile_rows=64).tile_rows == 8
    assert Network(hungry, tile_rows=4).tile_rows == 4


def test_whoever_watches_sees_a_smaller_tile_and_only_then(monkeypatch):
    monkeypatch.setattr(networks, "_tiles", {})
    network, rows = Network(Hungry(10, MemoryError()), tile_rows=64), np.ones((20, 2), np.float32)
    enough = Network(Hungry(64, MemoryError()), tile_rows=64)
    with watched() as tiles:
        enough(image=rows)
        assert not tiles.smaller
        network(image=rows)
        assert tiles.smaller
    with watched() as tiles:
        network(image=rows)  # also once the process remembers
    assert tiles.smaller
    network(image=rows)
    with watched() as tiles:
        pass
    assert not tiles.smaller


@pytest.mark.parametrize("error", OUT, ids=["gpu", "host", "allocator", "cudnn", "driver"])
def test_one_row_too_large_is_a_memory_error(error, monkeypatch):
    monkeypatch.setattr(networks, "_tiles", {})
    with pytest.raises(MemoryError, match="1 rows at once are too large"):
        Network(Hungry(0, error), tile_rows=4)(image=np.ones((3, 2), np.float32))


def test_another_runtime_error_is_not_taken_for_memory():
    with pytest.raises(RuntimeError, match="shape"):
        Network(Hungry(0, RuntimeError("shape")))(image=np.ones((3, 2), np.float32))


@pytest.mark.parametrize("settings", [{"precision": "bfloat16"}, {"channels_last": True}])
def test_reduced_numerics_stay_close_and_blind_to_neighbours(module, settings):
    rows = rows_of(20)
    with device.use(DeviceSettings(device="cpu", **settings)):
        network = Network(module, tile_rows=8)
    found = network(**rows)
    assert_allclose(found["score"], Network(module)(**rows)["score"], rtol=0.05, atol=0.05)
    assert found["score"].dtype == np.float32
    assert same({k: v[5:9] for k, v in found.items()}, network(**{k: v[5:9] for k, v in rows.items()}))


def test_the_memory_order_is_the_systems_unless_the_settings_say_otherwise(module):
    assert [Network(module, channels_last=own).channels_last for own in (False, True)] == [False, True]
    with device.use(DeviceSettings(device="cpu", channels_last=False)):
        assert not Network(module, channels_last=True).channels_last
    with device.use(DeviceSettings(device="cpu", channels_last=True)):
        assert Network(module).channels_last


def test_the_settings_give_the_tile_and_stay_with_the_network(module):
    with device.use(DeviceSettings(device="cpu", tile_rows=5)):
        network = Network(module, tile_rows=64)
    assert network.tile_rows == 5
    assert Network(module, tile_rows=64).tile_rows == 64


def test_state_survives_the_round_trip(module):
    other = Toy()
    arrays = state_arrays(module)
    assert all(name.startswith("net.") for name in arrays)
    load_state(other, {**arrays, "calibration": np.ones(3)})
    assert same(state_arrays(other), arrays)
    assert module_digest(other) == module_digest(module) != module_digest(Toy())
    assert architecture_digest(Toy()) == architecture_digest(module)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("net.last.bias"), "net.last.bias is missing"),
        (lambda a: a.update({"net.more": np.ones(1)}), "net.more belongs to no part"),
        (lambda a: a.update({"net.last.bias": np.ones(5, np.float32)}), r"net.last.bias is float32\(5,\)"),
        (lambda a: a.update({"net.last.bias": np.ones(4)}), "net.last.bias is float64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_nothing_is_loaded(module, change, message):
    arrays = state_arrays(module)
    change(arrays)
    other = Toy()
    before = state_arrays(other)
    with pytest.raises(DataError, match=message) as caught:
        load_state(other, arrays)
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS
    assert same(state_arrays(other), before)


class FakeCuda:
    """Stands in for torch.cuda on a machine without a GPU: notes the order of what is asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        log = self.log

        class Stream:
            def __enter__(self):
                log.append("copy")

            def __exit__(self, *_):
                return None

        self.Stream = Stream
        self.Event = lambda: SimpleNamespace(record=lambda stream: None)

    def stream(self, stream):
        return stream

    def current_stream(self):
        return SimpleNamespace(wait_event=lambda event: self.log.append("wait"))


@pytest.fixture
def no_gpu_needed(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self.clone())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)


@pytest.mark.parametrize("moved_rows", [1, 8, 20, 1000])
@pytest.mark.parametrize("n", [0, 1, 8, 9, 50])
def test_the_gpu_gets_the_tiles_that_the_host_gets_however_many_rows_move(no_gpu_needed, moved_rows, n):
    rows = rows_of(n)
    feed = CudaFeed(torch.device("cpu"), moved_rows=moved_rows, cuda=FakeCuda())
    pairs = zip(feed.tiles(rows, n, 8), HostFeed().tiles(rows, n, 8), strict=True)
    same = [torch.equal(a[k], b[k]) for a, b in pairs for k in a]
    assert same
    assert all(same)


def test_the_next_rows_are_on_their_way_while_these_compute(no_gpu_needed):
    fake = FakeCuda()
    tiles = CudaFeed(torch.device("cpu"), moved_rows=8, cuda=fake).tiles(rows_of(24), 24, 8)
    for _ in tiles:
        fake.log.append("compute")
    assert fake.log == ["copy", "copy", "wait", "compute", "copy", "wait", "compute", "wait", "compute"]
