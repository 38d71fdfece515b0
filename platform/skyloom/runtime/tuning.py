"""How many rows to move to a device at once: measured, and remembered between processes.

What is remembered decides how much is copied at a time, never the shape that is computed: the
tile belongs to what a job *is* (another tile, other last bits), so it comes from the system or
the job file alone. To compute with the tile that `find_tile_rows` found best, write it into
``[run] tile_rows``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError

if TYPE_CHECKING:
    from skyloom.runtime.networks import Network

__all__ = ["find_tile_rows", "remembered_rows"]

_LEAST_S = 0.05
"""A candidate is timed for at least so long, unless the budget ends before."""


def find_tile_rows(
    network: Network,
    sample: Mapping[str, NDArray[Any]],
    candidates: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024),
    budget: float = 20.0,
) -> int:
    """Return the tile with which a network computes most rows per second, and remember it.

    Parameters
    ----------
    network : Network
        Left with the tile that it had.
    sample : mapping of str to ndarray, shape (M, ...)
        Rows to compute, repeated as needed; any values.
    candidates : sequence of int
        Tiles to try, from small to large; the first that runs out of memory ends the search.
    budget : float
        Seconds for all of them.

    Raises
    ------
    SpecError
        If there are no candidates or no rows.
    MemoryError
        If not even the smallest candidate fits.
    """
    if not candidates or not sample or not min(len(values) for values in sample.values()):
        msg = "finding a tile needs candidates and at least one row"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    ends = time.perf_counter() + budget
    pace: dict[int, float] = {}
    for rows in sorted(candidates):
        arrays = {name: np.resize(values, (rows, *values.shape[1:])) for name, values in sample.items()}
        try:
            pace[rows] = _rows_per_second(network, arrays, rows, min(_LEAST_S, budget / len(candidates)))
        except MemoryError:
            if not pace:
                raise
            break
        if time.perf_counter() > ends:
            break
    best = max(pace, key=lambda rows: pace[rows])
    _remember(*network.key, best)
    return best


def _rows_per_second(network: Network, arrays: Mapping[str, NDArray[Any]], rows: int, least_s: float) -> float:
    network.compute(arrays, rows)  # the first call of a shape also allocates and chooses kernels
    start = time.perf_counter()
    calls = 0
    while calls == 0 or time.perf_counter() - start < least_s:
        network.compute(arrays, rows)
        calls += 1
    return calls * rows / (time.perf_counter() - start)


def remembered_rows(digest: str, device: str) -> int | None:
    """Return what was found best for these weights on this device; None where nothing was measured."""
    found = _stored().get(f"{device} {digest}")
    return found if isinstance(found, int) and found > 0 else None


def _remember(digest: str, device: str, rows: int) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_stored() | {f"{device} {digest}": rows}, indent=1, sort_keys=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)  # a reader sees the old file or the new one; of two writers one is forgotten


def _stored() -> dict[str, Any]:
    try:
        found = json.loads(_path().read_text())
    except (OSError, ValueError):  # only a hint: without it, a tile is moved at a time
        return {}
    return found if isinstance(found, dict) else {}


def _path() -> Path:
    """Return the file, in the user's cache directory."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "skyloom" / "tiles.json"
