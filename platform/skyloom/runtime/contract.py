"""What a model system is to the platform: rows in, columns and flags out.

A system is a module (or an object) with the attributes of `System`. Everything that
every system would otherwise repeat (batching, null-filling, flags, type checks, what
happens to a row that raises) is written once, in `skyloom.runtime.scoring`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError

__all__ = [
    "CUTOUT_CORRUPT",
    "CUTOUT_MISSING",
    "KILLED_WORKER",
    "MODEL_ERROR",
    "NON_FINITE_OUTPUT",
    "OUT_OF_MEMORY",
    "PLATFORM_FLAGS",
    "SMALLER_TILE",
    "TIMEOUT",
    "Flag",
    "Inputs",
    "Lists",
    "System",
    "Weights",
    "refuse_weights",
]


@dataclass(frozen=True, slots=True)
class Flag:
    """One documented reason, one bit of the layer's ``<layer>_flag`` column."""

    bit: int
    """0 upwards for a system's own reasons, 23 downwards for criteria of eligibility; 24 to 31 belong to the
    platform."""
    name: str
    """Upper case, such as ``LC_EMPTY``."""
    description: str
    nulls: bool = True
    """Whether a row with this flag has nulls; otherwise the flag is a caveat on its values."""

    @property
    def mask(self) -> int:
        """The flag as a number to test the column with."""
        return 1 << self.bit


MODEL_ERROR = Flag(24, "MODEL_ERROR", "the model raised on this row alone; see the quarantine")
NON_FINITE_OUTPUT = Flag(25, "NON_FINITE_OUTPUT", "an output was NaN or infinite, and is null", nulls=False)
KILLED_WORKER = Flag(26, "KILLED_WORKER", "the row killed the process that computed it; see the quarantine")
TIMEOUT = Flag(27, "TIMEOUT", "the row, computed alone, did not end; see the quarantine")
OUT_OF_MEMORY = Flag(28, "OUT_OF_MEMORY", "the row, computed alone, needed more memory than a worker has")
CUTOUT_MISSING = Flag(
    29,
    "CUTOUT_MISSING",
    "no image or spectrum: the row is off every one, or its part of the store is gone",
    nulls=False,
)
CUTOUT_CORRUPT = Flag(
    30,
    "CUTOUT_CORRUPT",
    "the stored image or spectrum does not agree with its checksum; none was used",
    nulls=False,
)
SMALLER_TILE = Flag(
    31,
    "SMALLER_TILE",
    "memory ran out and the row was computed among fewer rows at once than the job says: its last bits may "
    "differ from those of a run that had enough",
    nulls=False,
)
PLATFORM_FLAGS = (
    MODEL_ERROR,
    NON_FINITE_OUTPUT,
    KILLED_WORKER,
    TIMEOUT,
    OUT_OF_MEMORY,
    CUTOUT_MISSING,
    CUTOUT_CORRUPT,
    SMALLER_TILE,
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a system makes of N rows: arrays for `predict`, and which rows cannot be scored."""

    arrays: Mapping[str, Any]
    """What `predict` takes; the first axis of each is the *scorable* rows, in row order."""
    flag: NDArray[np.uint32]
    """Shape (N,): the system's own bits for every row."""
    scorable: NDArray[np.bool_]
    """Shape (N,): rows that `predict` sees; the others get nulls, and must carry a flag."""


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """What `System.predict` gives for a column of lists: M lists, end to end."""

    offsets: NDArray[np.int64]
    """Shape (M + 1,): list i is ``values[offsets[i] : offsets[i + 1]]``."""
    values: NDArray[Any]
    """Floats that are NaN are null elements: a list may have holes."""

    @classmethod
    def of(cls, lists: Sequence[NDArray[Any]], dtype: Any) -> Lists:
        """Join M arrays, as numbers of one type."""
        offsets = np.concatenate(([0], np.cumsum([len(each) for each in lists], dtype=np.int64)))
        return cls(offsets, np.concatenate([np.empty(0, dtype), *lists]).astype(dtype))

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class Weights:
    """A stored estimator: named arrays and small texts, read without executing anything."""

    arrays: Mapping[str, NDArray[Any]]
    texts: Mapping[str, str]
    digest: str
    """``sha256:…`` over all files of the bundle."""


class System(Protocol):
    """The attributes of a model system. Modules under `skyloom.models` have them.

    A system opens no file, never asks for a device and never sees a job: it gets its own
    config, its weights as arrays, and rows as an Arrow batch. It may also have ``tensors(config)``,
    the images and spectra that it reads, ``eligibility(config)``, conditions that a row must meet
    before the system is asked about it (see `skyloom.models.eligibility`), and
    ``examples(config, n, seed=...)``, made-up rows for its tests, where rows that are plausible in type
    alone are none that it scores.
    """

    NAME: str
    Config: type[Any]
    """A frozen dataclass of the system's own settings, which refuses nonsense."""
    FLAGS: Sequence[Flag]

    def reads(self, config: Any) -> tuple[Column, ...]:
        """Columns that the rows must have, under these names and in these units."""
        ...

    def writes(self, config: Any) -> tuple[Column, ...]:
        """Columns that `predict` returns.

        A unit ``"{lc.flux}"`` means the unit that the column read has in the catalog.
        """
        ...

    def build(self, config: Any, weights: Weights | None) -> Any:
        """Return the estimator, ready to predict; the same one for the same arguments."""
        ...

    def inputs(self, config: Any, rows: pa.RecordBatch) -> Inputs:
        """Turn N rows into arrays: the only preprocessing there is."""
        ...

    def predict(self, estimator: Any, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any] | Lists]:
        """Turn arrays of M scorable rows into one array of shape (M,) per column of `writes`; `Lists` of lists."""
        ...


def refuse_weights(name: str, weights: Weights | None) -> None:
    """Refuse weights for a system that learns nothing.

    Raises
    ------
    SpecError
        If `weights` are given.
    """
    if weights is not None:
        msg = f"{name} learns nothing and takes no weights; leave `weights` out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
