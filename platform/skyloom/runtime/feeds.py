"""From arrays to tiles of tensors on a device: the copies there are, and no others.

Every tile has exactly the same shape and lies at an address that is a multiple of 64 bytes.
Both matter: libraries choose their kernels by shape and by alignment, and another kernel adds
up in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["CudaFeed", "Feed", "HostFeed", "as_tensor"]

_ALIGNMENT = 64

Arrays = Mapping[str, NDArray[Any]]
Tensors = dict[str, "torch.Tensor"]


class Feed(Protocol):
    """What cuts arrays (M, ...) into tiles of exactly `tile_rows`, zeros behind the last row."""

    def tiles(self, arrays: Arrays, rows: int, tile_rows: int) -> Iterator[Tensors]:
        """Yield the tiles in order; at least one, of zeros where there are no rows."""
        ...


class _Alias:
    """Read-only memory under a writable name: torch has no read-only tensors, and warns."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._kept = values
        interface = dict(values.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def as_tensor(values: NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor over the same memory; whoever gets it must not write into it."""
    import torch

    return torch.from_numpy(values if values.flags.writeable else np.asarray(_Alias(values)))


def _tile(values: NDArray[Any], start: int, rows: int) -> NDArray[Any]:
    """Return rows `start` to `start + rows`, floats as float32: a view where bits allow it."""
    wanted = _kind(values)
    part = values[start : start + rows]
    right = part.dtype == wanted and part.flags.c_contiguous and part.ctypes.data % _ALIGNMENT == 0
    if right and len(part) == rows:
        return part
    return _filled(_aligned((rows, *values.shape[1:]), wanted), part)


def _kind(values: NDArray[Any]) -> np.dtype[Any]:
    """Return the type that a tile of `values` has."""
    return np.dtype(np.float32) if values.dtype.kind == "f" else values.dtype.newbyteorder("=")


def _filled(tile: NDArray[Any], part: NDArray[Any]) -> NDArray[Any]:
    """Put rows into a tile, and zeros behind them."""
    tile[: len(part)] = part
    tile[len(part) :] = 0
    return tile


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + size].view(dtype).reshape(shape)


class HostFeed:
    """Tiles in memory of their own, each array's always in the same place.

    A tile left where its array lies costs no copy, but was seen to give other last bits now and
    then than the same rows copied; the copy is a thousandth of the work of a network.
    """

    def __init__(self) -> None:
        self._places: dict[str, NDArray[Any]] = {}

    def tiles(self, arrays: Arrays, rows: int, tile_rows: int) -> Iterator[Tensors]:
        """Yield the tiles in order; each is overwritten by the next."""
        for start in range(0, max(rows, 1), tile_rows):
            yield {
                name: as_tensor(self._placed(name, values, start, tile_rows)) for name, values in arrays.items()
            }

    def _placed(self, name: str, values: NDArray[Any], start: int, rows: int) -> NDArray[Any]:
        shape, kind = (rows, *values.shape[1:]), _kind(values)
        place = self._places.get(name)
        if place is None or place.shape != shape or place.dtype != kind:
            place = self._places[name] = _aligned(shape, kind)
        return _filled(place, values[start : start + rows])


class CudaFeed:
    """Tiles on a GPU: the next rows are copied from pinned memory while these compute.

    Parameters
    ----------
    device : torch.device
    moved_rows : int
        Rows copied at once; taken down to a multiple of the tile, so that it changes no shape
        and no bit.
    cuda : module, optional
        Stands in for ``torch.cuda`` in tests.
    """

    def __init__(self, device: torch.device, *, moved_rows: int = 1, cuda: Any = None) -> None:
        import torch

        self._device = device
        self._cuda = cuda or torch.cuda
        self._moved_rows = moved_rows
        self._stream = self._cuda.Stream()

    def tiles(self, arrays: Arrays, rows: int, tile_rows: int) -> Iterator[Tensors]:
        """Yield the tiles in order."""
        step = tile_rows * max(1, self._moved_rows // tile_rows)
        starts = range(0, max(rows, 1), step)
        coming = self._moved(arrays, 0, min(step, _whole(rows, tile_rows)))
        for start in starts:
            moved, done, kept = coming
            if start + step < rows:
                after = start + step
                coming = self._moved(arrays, after, min(step, _whole(rows - after, tile_rows)))
            here = self._cuda.current_stream()
            here.wait_event(done)
            for tensor in moved.values():
                tensor.record_stream(here)  # its memory must outlive this stream's work, not the other's
            length = len(next(iter(moved.values())))
            for first in range(0, length, tile_rows):
                # A copy on the device: it begins where every other tile begins.
                yield {name: tensor[first : first + tile_rows].clone() for name, tensor in moved.items()}
            del kept

    def _moved(self, arrays: Arrays, start: int, rows: int) -> tuple[Tensors, Any, Tensors]:
        """Begin to copy; return what arrives, the event of its arrival, and the pinned memory."""
        pinned = {name: as_tensor(_tile(values, start, rows)).pin_memory() for name, values in arrays.items()}
        with self._cuda.stream(self._stream):
            moved = {name: tensor.to(self._device, non_blocking=True) for name, tensor in pinned.items()}
            done = self._cuda.Event()
            done.record(self._stream)
        return moved, done, pinned


def _whole(rows: int, tile_rows: int) -> int:
    """Return the rows of the tiles that `rows` fill, at least one."""
    return -(-max(rows, 1) // tile_rows) * tile_rows
