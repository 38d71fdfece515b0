"""Counts that do not grow with the rows: values in bins, by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["MOST_VALUES", "Axis", "Grouping", "Numbers", "Words"]

N_BINS = 60
MOST_VALUES = 200
"""Different values of a column of words that are counted apart; the rest is counted together."""
WORD_CHARS = 80
"""Characters of a value that are kept."""
_INSIDE = (0.005, 0.995)
"""Quantiles of a sample between which the bins of a column lie."""
_DECADES = 1000.0
"""Ratio of those from which on a positive column has logarithmic bins."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Bins of one column."""

    low: float
    high: float
    log: bool = False
    """Whether bins are equal in the logarithm; then `low` is positive."""

    @classmethod
    def of(cls, sample: NDArray[np.floating], *, ucd: str = "") -> Axis:
        """Choose bins by a sample of the column; far values go beyond the ends, and are counted there."""
        values = sample[np.isfinite(sample)].astype(np.float64)
        if not len(values):
            return cls(0.0, 1.0)
        low, high = (float(q) for q in np.quantile(values, _INSIDE))
        if ucd.startswith("stat.probability") and values.min() >= 0 and values.max() <= 1:
            return cls(0.0, 1.0)
        if low > 0 and high / low >= _DECADES:
            return cls(low, high, log=True)
        if high <= low:
            pad = abs(low) * 0.01 or 0.5
            return cls(low - pad, high + pad)
        return cls(low, high)

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where values lie: 0 at `low`, 1 at `high`."""
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        with np.errstate(divide="ignore", invalid="ignore"):
            place = np.log(values / self.low) / np.log(self.high / self.low)
        return np.where(values > 0, place, -np.inf)

    def value(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Undo `place`."""
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** place)
        return np.asarray(self.low + place * (self.high - self.low))

    def bins(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bin of each finite value: 1 to `N_BINS`, 0 below, `N_BINS` + 1 above; `high` is inside."""
        place = self.place(values)
        inside = np.clip(np.floor(np.clip(place, -1.0, 2.0) * N_BINS), -1, N_BINS).astype(np.int64) + 1
        return np.where(place == 1.0, N_BINS, inside)


@dataclass(frozen=True, slots=True)
class Grouping:
    """What rows are divided by: each row has the number of its group, from 0."""

    name: str
    labels: tuple[str, ...]
    source: str
    """Where the division comes from, for the reader."""


class Numbers:
    """What a column of numbers comes to: exact counts and extremes, and quantiles by bins.

    Parameters
    ----------
    axis : Axis
    groupings : mapping of str to int
        Number of groups of each division.
    """

    def __init__(self, axis: Axis, groupings: Mapping[str, int]) -> None:
        self.axis = axis
        self.counts = np.zeros(N_BINS + 2, np.int64)
        self.by = {name: np.zeros((n, N_BINS + 2), np.int64) for name, n in groupings.items()}
        self.rows = self.nulls = 0
        self.total = 0.0
        self.least, self.most = np.inf, -np.inf

    def add(self, column: pa.Array, groups: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float64]:
        """Count some rows; return them as numbers, NaN where there is none."""
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
        there = np.isfinite(values)
        self.rows += len(values)
        self.nulls += int(len(values) - there.sum())
        kept = values[there]
        if len(kept):
            bins = self.axis.bins(kept)
            self.counts += np.bincount(bins, minlength=N_BINS + 2)
            for name, table in self.by.items():
                flat = groups[name][there] * (N_BINS + 2) + bins
                np.add(table, np.bincount(flat, minlength=table.size).reshape(table.shape), out=table)
            self.total += float(kept.sum())
            self.least, self.most = min(self.least, float(kept.min())), max(self.most, float(kept.max()))
        return values

    @property
    def n(self) -> int:
        """Finite values."""
        return self.rows - self.nulls

    @property
    def mean(self) -> float:
        """Mean of the finite values; NaN of none."""
        return self.total / self.n if self.n else float("nan")

    def quantile(self, q: float, *, by: str = "", group: int = 0) -> float:
        """Return a quantile, exact to the width of a bin; at an end of the axis where it lies beyond it."""
        counts = self.by[by][group] if by else self.counts
        total = int(counts.sum())
        if not total:
            return float("nan")
        summed = np.cumsum(counts)
        k = int(np.searchsorted(summed, q * total, side="left"))
        before = int(summed[k - 1]) if k else 0
        inside = (q * total - before) / max(1, int(counts[k]))
        place = np.clip((k - 1 + inside) / N_BINS, 0.0, 1.0)
        return float(self.axis.value(np.array([place]))[0])


class Words:
    """How often each value of a column of words, or of truth values, occurs.

    Parameters
    ----------
    groupings : mapping of str to int
        Number of groups of each division.
    """

    def __init__(self, groupings: Mapping[str, int]) -> None:
        self.values: dict[str, int] = {}
        """Value to its place in `counts`; the last place is that of all others."""
        self.counts = np.zeros(MOST_VALUES + 1, np.int64)
        self.by = {name: np.zeros((n, MOST_VALUES + 1), np.int64) for name, n in groupings.items()}
        self.rows = self.nulls = 0

    def add(self, column: pa.Array, groups: Mapping[str, NDArray[np.int64]]) -> None:
        """Count some rows."""
        coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column.cast(pa.string()))
        place = np.array([self._place(str(word)) for word in coded.dictionary.to_pylist()] or [0], np.int64)
        there = np.asarray(coded.indices.is_valid().to_numpy(zero_copy_only=False), bool)
        self.rows += len(there)
        self.nulls += int(len(there) - there.sum())
        codes = place[coded.indices.drop_null().to_numpy(zero_copy_only=False)]
        self.counts += np.bincount(codes, minlength=MOST_VALUES + 1)
        for name, table in self.by.items():
            flat = groups[name][there] * (MOST_VALUES + 1) + codes
            np.add(table, np.bincount(flat, minlength=table.size).reshape(table.shape), out=table)

    def _place(self, word: str) -> int:
        kept = word if len(word) <= WORD_CHARS else f"{word[:WORD_CHARS]}…"
        if kept not in self.values and len(self.values) < MOST_VALUES:
            self.values[kept] = len(self.values)
        return self.values.get(kept, MOST_VALUES)

    def top(self, most: int) -> list[tuple[str, int]]:
        """Return the most frequent values with their counts, equal ones by the alphabet."""
        listed = [(word, int(self.counts[place])) for word, place in self.values.items()]
        return sorted(listed, key=lambda pair: (-pair[1], pair[0]))[:most]

    def others(self, shown: Sequence[tuple[str, int]]) -> int:
        """Return how many rows have a value that is not among `shown`."""
        return self.rows - self.nulls - sum(count for _, count in shown)
