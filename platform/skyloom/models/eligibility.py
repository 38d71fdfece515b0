"""Which rows a model is asked about: criteria, what they cost in rows, and why a row was left out.

"Is it a supernova?" is asked of objects that could be one. Criteria are `conditions` on columns; a row
is *eligible* if all of them hold. One that is not known (a null, a NaN) does not hold, and is counted apart.
Other rows are never shown to the model: their columns are null, and bits of the flag say which criteria they
miss. The order of the criteria changes no value and no bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.conditions import Condition
from skyloom.runtime.contract import Flag

__all__ = ["MOST", "Eligibility", "Judged", "Step", "added", "funnel"]

MOST = 8
"""Criteria of one job."""

_HIGHEST_BIT = 23
"""Criteria get bits from here downwards; a system's own reasons start at bit 0."""

_HOLDS, _FAILS, _UNKNOWN = "+", "-", "?"
_OUTCOMES = np.array([_HOLDS, _FAILS, _UNKNOWN])


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What became of N rows."""

    skipped: NDArray[np.uint32]
    """Shape (N,): bits of the criteria that do not hold; 0 for an eligible row."""
    counts: dict[str, int]
    """Rows by pattern, one sign per criterion in the order of `Eligibility.criteria`: ``+`` holds, ``-`` does
    not, ``?`` not known. Counts of partitions add up to those of a layer."""


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Criteria, sorted by their text; `of` makes them."""

    criteria: tuple[Condition, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Eligibility:
        """Parse criteria; one that is said twice counts once.

        Raises
        ------
        SpecError
            If one is no condition (see `Condition.of`), or there are more than `MOST`.
        """
        found = {each.text: each for each in map(Condition.of, texts)}
        if len(found) > MOST:
            msg = f"there are {len(found)} criteria of eligibility, and {MOST} at most; join some by `and`"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        return cls(tuple(found[text] for text in sorted(found)))

    def __bool__(self) -> bool:
        return bool(self.criteria)

    @property
    def texts(self) -> tuple[str, ...]:
        """The criteria in one spelling and order: equal criteria have equal texts."""
        return tuple(each.text for each in self.criteria)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in them, sorted."""
        return tuple(sorted({name for each in self.criteria for name in each.columns}))

    def flags(self, own: Sequence[Flag]) -> tuple[Flag, ...]:
        """Return one flag per criterion.

        Parameters
        ----------
        own : sequence of Flag
            The system's.

        Raises
        ------
        SpecError
            If the system's own flags leave no bits.
        """
        flags = tuple(
            Flag(
                _HIGHEST_BIT - k, f"INELIGIBLE_{k + 1}", f"not eligible: {each.text} does not hold or is not known"
            )
            for k, each in enumerate(self.criteria)
        )
        taken = {flag.bit for flag in own} & {flag.bit for flag in flags}
        if taken:
            free = _HIGHEST_BIT - max(flag.bit for flag in own)
            msg = f"the model's own flags leave bits for {free} criteria, not {len(flags)}; join some by `and`"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        return flags

    def check(self, types: Mapping[str, pa.DataType]) -> None:
        """Refuse criteria that columns of these types cannot answer; see `Condition.check`."""
        for each in self.criteria:
            each.check(types)

    def judge(self, columns: Mapping[str, pa.Array], rows: int) -> Judged:
        """Judge N rows.

        Parameters
        ----------
        columns : mapping of str to pyarrow.Array, N rows
            At least `columns`.
        rows : int
            N.
        """
        skipped = np.zeros(rows, dtype=np.uint32)
        patterns = np.zeros(rows, dtype=np.int64)
        for each, flag in zip(self.criteria, self.flags(()), strict=True):
            outcome = _outcome(each.holds(columns))
            skipped |= np.where(outcome == 0, 0, flag.mask).astype(np.uint32)
            patterns = patterns * len(_OUTCOMES) + outcome
        found, number = np.unique(patterns, return_counts=True)
        signs = [self._signs(int(pattern)) for pattern in found]
        return Judged(skipped, {sign: int(n) for sign, n in zip(signs, number, strict=True)})

    def _signs(self, pattern: int) -> str:
        places = range(len(self.criteria) - 1, -1, -1)
        return "".join(str(_OUTCOMES[pattern // len(_OUTCOMES) ** place % len(_OUTCOMES)]) for place in places)


def _outcome(holds: Any) -> NDArray[np.int64]:
    """Return 0 where a condition holds, 1 where it does not, 2 where it is not known."""
    known = np.asarray(holds.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    true = np.asarray(holds.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
    return np.where(known, np.where(true, 0, 1), 2)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a funnel."""

    criterion: str
    holds: int
    """Rows for which it holds, whatever the others say."""
    fails: int
    not_known: int
    left: int
    """Rows for which it and all criteria before it hold."""


def funnel(criteria: Sequence[str], counts: Mapping[str, int], order: Sequence[str] = ()) -> tuple[Step, ...]:
    """Return how many rows each criterion costs.

    Parameters
    ----------
    criteria : sequence of str
        As `Eligibility.texts`.
    counts : mapping of str to int
        As `Judged.counts`, of one partition or added up.
    order : sequence of str, optional
        The same texts in the order of the lines; default: as they are.

    Returns
    -------
    tuple of Step
        In each, `holds`, `fails` and `not_known` add up to all rows. The last one's `left` is the
        number of eligible rows, in any order.
    """
    steps: list[Step] = []
    before: list[int] = []
    for text in order or criteria:
        place = criteria.index(text)
        before.append(place)
        by_sign = Counter[str]()
        for pattern, n in counts.items():
            by_sign[pattern[place]] += n
        left = sum(n for pattern, n in counts.items() if all(pattern[k] == _HOLDS for k in before))
        steps.append(Step(text, by_sign[_HOLDS], by_sign[_FAILS], by_sign[_UNKNOWN], left))
    return tuple(steps)


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the counts of several partitions, added up, sorted by pattern."""
    total = Counter[str]()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
