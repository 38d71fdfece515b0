"""A torch module as a function of arrays: the same bits for a row, whatever stands beside it.

Networks compute *tiles* of one fixed shape, the last one filled up with zeros: batch size,
partition and order of rows never reach a kernel. Measured: without it, the last bits of nearly
every row depend on the number of rows in its batch.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.runtime import device as devices
from skyloom.runtime.feeds import CudaFeed, Feed, HostFeed
from skyloom.runtime.tuning import remembered_rows

if TYPE_CHECKING:
    import torch

__all__ = ["Network", "architecture_digest", "load_state", "module_digest", "state_arrays"]

logger = logging.getLogger(__name__)

_tiles: dict[tuple[str, str], int] = {}
"""Tiles that fitted after memory had run out, by weights and device."""


class Network:
    """A torch module, ready to predict, on the device and in the precision of `device.current`.

    Parameters
    ----------
    module : torch.nn.Module
        Copied, so that it can go on training. Its ``forward`` takes tensors by keyword, whose
        first axis is rows, and returns a dict of tensors or one tensor (called ``"out"``), rows
        first too. It must treat rows alone and must not write into its inputs.
    tile_rows : int
        Rows computed at once, unless the settings say another number. Part of what a job is:
        another tile gives other last bits (some 1e-7 relative).

    Raises
    ------
    SpecError
        If the device is not there, or a part of the module cannot leave training.

    Notes
    -----
    Where memory runs out, the tile is halved, from then on for these weights on this device in
    this process, and a warning is logged. Rows computed with the smaller tile may differ in
    their last bits from those of a run that had enough memory.
    """

    key: tuple[str, str]
    """Digest of the module, and class of the device."""

    def __init__(self, module: torch.nn.Module, *, tile_rows: int = 64) -> None:
        import torch

        self.settings = devices.current().resolved()
        self.device = devices.prepare(self.settings)
        wanted = self.settings.tile_rows or tile_rows
        if wanted < 1:
            msg = f"tile_rows must be positive, got {wanted}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, tile_rows=wanted)
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        learning = [name or "the module" for name, part in self.module.named_modules() if part.training]
        if learning:
            msg = f"{learning[0]} stays in training when it shall predict: rows would depend on their neighbours"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, part=learning[0])
        self.key = (module_digest(self.module), devices.device_class(self.settings))
        self.tile_rows = min(wanted, _tiles.get(self.key, wanted))
        self.module = self.module.to(self.device)
        if self.settings.channels_last:
            torch.nn.utils.convert_conv2d_weight_memory_format(self.module, torch.channels_last)
        self._tried = False
        self._feed: Feed = HostFeed()
        if self.device.type == "cuda":
            self._feed = CudaFeed(self.device, moved_rows=remembered_rows(*self.key) or wanted)

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Compute M rows.

        Parameters
        ----------
        **arrays : ndarray, shape (M, ...)
            One per keyword of ``forward``; may be read-only. Floats are computed as float32.

        Returns
        -------
        dict of str to ndarray, shape (M, ...)
            Floats as float32.

        Raises
        ------
        SpecError
            If there are no arrays, or their lengths differ.
        DataError
            ``MODEL_OUTPUT`` if the module gives another number of rows than it got, or writes
            into its input.
        MemoryError
            If memory runs out with a tile of one row; caches were emptied.
        """
        while True:
            try:
                return self.compute(arrays, self.tile_rows)
            except MemoryError:
                if self.tile_rows == 1:
                    raise
            self.tile_rows //= 2
            _tiles[self.key] = self.tile_rows
            logger.warning("out of memory on %s: tiles have %d rows from now on", self.key[1], self.tile_rows)

    def compute(self, arrays: Mapping[str, NDArray[Any]], tile_rows: int) -> dict[str, NDArray[Any]]:
        """Compute M rows as a call does, in tiles of `tile_rows`.

        Raises
        ------
        SpecError, DataError
            As a call.
        MemoryError
            If memory of the device or of the host runs out; caches were emptied.
        """
        rows = _rows(arrays)
        parts: dict[str, list[NDArray[Any]]] = {}
        try:
            with devices.LOCK if self.device.type == "cuda" else nullcontext():
                for tile in self._feed.tiles(arrays, rows, tile_rows):
                    for name, values in self._forward(tile, tile_rows).items():
                        parts.setdefault(name, []).append(values)
            return {name: np.concatenate(part)[:rows] for name, part in parts.items()}
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            text = str(error)
        parts.clear()
        self._free()  # outside the handler: its traceback would keep the tensors alive
        msg = f"{tile_rows} rows at once are too large for the memory of {self.key[1]}: {text}"
        raise MemoryError(msg)

    def _forward(self, tile: dict[str, torch.Tensor], rows: int) -> dict[str, NDArray[Any]]:
        import torch

        if not self._tried:  # not yet known to leave its input alone, which may be memory of others
            tile = {name: tensor.clone() for name, tensor in tile.items()}
        if self.settings.channels_last:
            tile = {name: _last(tensor) for name, tensor in tile.items()}
        versions = {name: tensor._version for name, tensor in tile.items() if not tensor.is_inference()}
        kind = getattr(torch, self.settings.precision)
        lowered = self.settings.precision != "float32"
        lower = torch.autocast(self.device.type, dtype=kind) if lowered else nullcontext()
        with torch.inference_mode(), lower:
            found = self.module(**tile)
        for name, version in versions.items():
            if tile[name]._version != version:
                raise _broken(f"it writes into its input {name!r}: give it a copy, or take inplace=True off")
        self._tried = True
        named = found if isinstance(found, dict) else {"out": found}
        for name, values in named.items():
            if values.ndim < 1 or len(values) != rows:
                raise _broken(f"{name!r} has shape {tuple(values.shape)} for {rows} rows")
        # Copies: what a module hands through lies in the tile, which the next rows overwrite.
        return {n: (v.float() if v.is_floating_point() else v).cpu().numpy().copy() for n, v in named.items()}

    def _free(self) -> None:
        import gc

        import torch

        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _rows(arrays: Mapping[str, NDArray[Any]]) -> int:
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) != 1:
        msg = f"a network takes arrays of one length, got {lengths or 'none'}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    return next(iter(lengths.values()))


def _last(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _broken(what: str) -> DataError:
    return DataError(f"the network broke the contract: {what}", kind=ErrorKind.MODEL_OUTPUT)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: of a GPU (a RuntimeError of its own class), or of the host."""
    import torch

    host = "DefaultCPUAllocator: can't allocate" in str(error) or "not enough memory" in str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or host


def state_arrays(module: torch.nn.Module, prefix: str = "net.") -> dict[str, NDArray[Any]]:
    """Return parameters and buffers as arrays, under the names that `load_state` reads."""
    return {prefix + name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def load_state(module: torch.nn.Module, arrays: Mapping[str, NDArray[Any]], prefix: str = "net.") -> None:
    """Put stored arrays into a module, strictly.

    Raises
    ------
    DataError
        ``BAD_WEIGHTS`` if an array is missing, is not the module's, or has another shape or type.
    """
    own = module.state_dict()
    given = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    trouble = [f"{prefix}{name} is missing" for name in sorted(set(own) - set(given))]
    trouble += [f"{prefix}{name} belongs to no part of the network" for name in sorted(set(given) - set(own))]
    for name in sorted(set(own) & set(given)):
        expected = (tuple(own[name].shape), own[name].detach().cpu().numpy().dtype)
        found = (given[name].shape, given[name].dtype)
        if found != expected:
            trouble.append(f"{prefix}{name} is {found[1]}{found[0]}, expected {expected[1]}{expected[0]}")
    if trouble:
        more = f" (and {len(trouble) - 3} more)" if len(trouble) > 3 else ""
        msg = f"weights do not fit the network: {'; '.join(trouble[:3])}{more}"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS)
    import torch

    module.load_state_dict({name: torch.tensor(array) for name, array in given.items()}, strict=True)


def architecture_digest(module: torch.nn.Module) -> str:
    """Return a digest of a network's parts: what a card pins.

    Names, types and shapes of all parameters and buffers, and of every part its class and what it
    says of itself (stride, padding, slope): a network of equal parameters may compute another
    function. What `forward` does between its parts is not in it.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
    for name, part in module.named_modules():
        digest.update(f"{name} {type(part).__qualname__}({part.extra_repr()})\n".encode())
    return f"sha256:{digest.hexdigest()}"


def module_digest(module: torch.nn.Module) -> str:
    """Return a digest of a module's class, parameters and buffers."""
    digest = hashlib.sha256(f"{type(module).__qualname__} {architecture_digest(module)}".encode())
    for name, array in sorted(state_arrays(module, "").items()):
        digest.update(name.encode() + array.tobytes())
    return f"sha256:{digest.hexdigest()}"
