"""Settings of the device: decided once, refused clearly, put back. torch.cuda is patched: no GPU is needed."""

from __future__ import annotations

import os

import pytest
import torch

from skyloom.errors import ErrorKind, SpecError
from skyloom.runtime import device
from skyloom.runtime.device import DeviceSettings


@pytest.fixture
def gpu(monkeypatch):
    """A machine that says that it has a GPU."""
    monkeypatch.setattr(device, "_built_for_cpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA Toy")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
    )
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[:2]
    torch.backends.cudnn.benchmark = before[2]
    torch.use_deterministic_algorithms(before[3])


def test_settings_hold_inside_and_are_put_back_even_after_an_error():
    before = device.current()
    with pytest.raises(KeyError), device.use(DeviceSettings(device="cpu", tile_rows=3)):
        assert device.current().tile_rows == 3
        raise KeyError
    assert device.current() is before


@pytest.mark.parametrize(
    "wrong", [{"device": "tpu"}, {"precision": "int8"}, {"tile_rows": 0}, {"threads": -1}], ids=str
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))) as caught:
        DeviceSettings(**wrong)
    assert caught.value.kind == ErrorKind.BAD_PARAMETER


def test_a_build_of_torch_without_cuda_is_known_by_its_version(monkeypatch):
    monkeypatch.setattr(device.importlib.metadata, "version", lambda name: {"torch": "2.13.0+cpu"}[name])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("torch was asked"))
    assert DeviceSettings().resolved().device == "cpu"


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(device, "_built_for_cpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert DeviceSettings().resolved().device == "cpu"
    assert device.device_class(DeviceSettings()) == "cpu"


def test_auto_is_the_gpu_where_there_is_one_and_its_model_is_the_class(gpu):
    assert DeviceSettings().resolved().device == "cuda"
    assert device.device_class(DeviceSettings()) == "cuda NVIDIA Toy"
    assert device.device_class(DeviceSettings(device="cpu")) == "cpu"


def test_a_gpu_that_is_not_there_is_a_wrong_request(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SpecError, match="torch finds no GPU here"):
        device.prepare(DeviceSettings(device="cuda"))


def test_on_a_gpu_everything_that_does_not_repeat_itself_is_off(gpu):
    torch.backends.cudnn.benchmark = True
    assert device.prepare(DeviceSettings(device="cuda")) == torch.device("cuda")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_cublas_setting_that_does_not_repeat_itself_is_refused(gpu, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    with pytest.raises(SpecError, match="CUBLAS_WORKSPACE_CONFIG"):
        device.prepare(DeviceSettings(device="cuda"))


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_an_environment_in_which_weights_could_run_code_is_refused(monkeypatch, value):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", value)
    for start in (lambda: device.prepare(DeviceSettings(device="cpu")), device.use(DeviceSettings()).__enter__):
        with pytest.raises(SpecError, match="run code") as caught:
            start()
        assert caught.value.kind == ErrorKind.INSECURE


def test_threads_are_the_share_that_the_starter_gives(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        device.prepare(DeviceSettings(device="cpu"))
        assert torch.get_num_threads() == 1
        device.prepare(DeviceSettings(device="cpu", threads=2))
        assert torch.get_num_threads() == 2
        monkeypatch.delenv("OMP_NUM_THREADS")
        device.prepare(DeviceSettings(device="cpu"))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
