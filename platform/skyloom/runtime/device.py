"""Where networks compute and with which numbers: one setting for the whole process.

A system never asks for a device. Whoever builds estimators says so around it::

    with device.use(DeviceSettings(device="cuda")):
        estimator = system.build(config, weights)

torch is imported when the first network is prepared, not before: workers of systems without
networks never pay for it.
"""

from __future__ import annotations

import importlib.metadata
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from skyloom.errors import ErrorKind, SpecError

__all__ = [
    "DEFAULT_TILE_ROWS",
    "LOCK",
    "DeviceSettings",
    "check_environment",
    "current",
    "device_class",
    "prepare",
    "use",
]

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]

DEFAULT_TILE_ROWS = 64
"""Rows that a network computes at once where neither job nor system says another number."""
LOCK = threading.RLock()
"""Held while a network computes on a GPU: two threads would share its memory and its streams."""

_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_DETERMINISTIC = (":4096:8", ":16:8")


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """What a job may say of devices; each may change the last bits of a column.

    Raises
    ------
    SpecError
        If a word is not one of those there are, or `tile_rows` or `threads` is not positive.
    """

    device: DeviceName = "auto"
    """``auto`` is a GPU where there is one."""
    precision: Precision = "float32"
    """Of products and convolutions; weights, inputs and outputs stay float32."""
    channels_last: bool | None = None
    """Memory order of images: faster on some devices, other last bits. None: as the system says."""
    tile_rows: int | None = None
    """Rows that a network computes at once, instead of the system's own number."""
    threads: int | None = None
    """Of one worker on a CPU; default: ``OMP_NUM_THREADS``, else 1. With two, the same tile was seen to give
    other last bits once in a few hundred calls."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("device", self.device, get_args(DeviceName)),
            ("precision", self.precision, get_args(Precision)),
        ):
            if value not in known:
                msg = f"{name} must be one of {', '.join(known)}, got {value!r}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, **{name: str(value)})
        for name, number in (("tile_rows", self.tile_rows), ("threads", self.threads)):
            if number is not None and number < 1:
                msg = f"{name} must be positive, got {number}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, **{name: number})

    def resolved(self) -> DeviceSettings:
        """Return the same settings with ``auto`` decided.

        Raises
        ------
        SpecError
            If a GPU is asked for and torch sees none.
        """
        if self.device == "cpu":
            return self
        if self.device == "auto" and _built_for_cpu():
            return replace(self, device="cpu")
        import torch

        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            built = torch.version.cuda
            why = (
                f"torch {torch.__version__} is built for CUDA {built}"
                if built
                else "this torch is built without CUDA"
            )
            msg = f"device = cuda, and torch finds no GPU here ({why}); install a CUDA build, or use cpu"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, device="cuda")
        return replace(self, device="cuda" if there else "cpu")


_current = DeviceSettings()


def current() -> DeviceSettings:
    """Return the settings of this process."""
    return _current


@contextmanager
def use(settings: DeviceSettings) -> Iterator[DeviceSettings]:
    """Set the settings of this process, for all its threads, and put the old ones back.

    Networks keep the settings under which they were made.

    Raises
    ------
    SpecError
        As `check_environment` and `DeviceSettings.resolved`.
    """
    global _current  # noqa: PLW0603  (process-wide on purpose: a system must not need to pass it on)
    check_environment()
    before, _current = _current, settings
    try:
        yield settings
    finally:
        _current = before


def check_environment() -> None:
    """Refuse an environment in which files of weights could execute code.

    Raises
    ------
    SpecError
        ``INSECURE`` if ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is set to anything that torch takes for yes.
    """
    if os.environ.get(_UNSAFE, "").strip().lower() not in {"", "0", "n", "no", "false"}:
        msg = f"${_UNSAFE} is set: it lets any file of weights run code in this process. Unset it"
        raise SpecError(msg, kind=ErrorKind.INSECURE, variable=_UNSAFE)


def prepare(settings: DeviceSettings) -> Any:
    """Make torch in this process compute the same bits every time, and return the ``torch.device``.

    Sets the number of threads; on a GPU it forbids TF32, the search for the fastest kernel and
    every operation that torch knows to be random in its order of sums.

    Raises
    ------
    SpecError
        As `check_environment` and `DeviceSettings.resolved`; also if ``CUBLAS_WORKSPACE_CONFIG``
        is set to a value under which cuBLAS does not repeat itself.
    """
    check_environment()
    import torch

    name = settings.resolved().device
    if name == "cuda":
        found = os.environ.setdefault(_CUBLAS, _CUBLAS_DETERMINISTIC[0])
        if found not in _CUBLAS_DETERMINISTIC:
            msg = f"${_CUBLAS} is {found!r}; products repeat their bits with {_CUBLAS_DETERMINISTIC} only"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, variable=_CUBLAS)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)
    threads = settings.threads or _own_share()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return torch.device(name)


def device_class(settings: DeviceSettings) -> str:
    """Return what two machines compare before they promise each other the same bits.

    ``"cpu"``, or ``"cuda "`` and the model of the GPU.
    """
    if settings.resolved().device == "cpu":
        return "cpu"
    import torch

    return f"cuda {torch.cuda.get_device_name()}"


def _built_for_cpu() -> bool:
    """Whether torch is a build that cannot use a GPU; asked of its version, for importing it takes seconds."""
    return importlib.metadata.version("torch").endswith("+cpu")


def _own_share() -> int:
    """Return the threads that this process may use: as its starter says, else one."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) else 1
