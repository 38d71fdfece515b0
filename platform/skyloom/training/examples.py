"""What a network learns from: labelled rows, taken by number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError

__all__ = ["ArrayExamples", "Examples", "examples_digest"]

_ROWS_DIGESTED = 64


class Examples(Protocol):
    """N labelled rows. The same numbers give the same rows, every time."""

    def __len__(self) -> int:
        """Return N."""
        ...

    def take(self, rows: NDArray[np.int64]) -> tuple[Mapping[str, NDArray[Any]], NDArray[Any]]:
        """Return M rows, in the order given.

        Parameters
        ----------
        rows : ndarray of int64, shape (M,)
            From 0 to N - 1.

        Returns
        -------
        arrays : mapping of str to ndarray, shape (M, ...)
            What the network's ``forward`` takes, by keyword.
        target : ndarray, shape (M, ...)
            What the loss compares with.
        """
        ...


class ArrayExamples:
    """Examples that lie in memory.

    Parameters
    ----------
    arrays : mapping of str to ndarray, shape (N, ...)
    target : ndarray, shape (N, ...)

    Raises
    ------
    SpecError
        If there are no arrays, or their lengths differ from that of `target`.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], target: NDArray[Any]) -> None:
        lengths = {name: len(values) for name, values in arrays.items()}
        if not lengths or set(lengths.values()) != {len(target)}:
            msg = f"examples need arrays as long as their {len(target)} targets, got {lengths or 'none'}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        self._arrays = dict(arrays)
        self._target = target

    def __len__(self) -> int:
        return len(self._target)

    def take(self, rows: NDArray[np.int64]) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
        """Return copies of M rows, as `Examples.take` has it."""
        return {name: values[rows] for name, values in self._arrays.items()}, self._target[rows]


def examples_digest(examples: Examples) -> str:
    """Return a digest that tells sets of examples apart: of their number and of up to 64 rows among them.

    All rows of a survey would take longer to read than to learn from.
    """
    rows = np.unique(np.linspace(0, len(examples) - 1, _ROWS_DIGESTED).astype(np.int64))
    arrays, target = examples.take(rows)
    digest = hashlib.sha256(f"{len(examples)} rows\n".encode())
    for name, values in [*sorted(arrays.items()), ("the target", target)]:
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return f"sha256:{digest.hexdigest()}"
