"""How far two versions of the same columns are from each other, held against the tolerances of a card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["Difference", "difference", "parity"]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one column is from another version of itself."""

    column: str
    measured: float
    """As `difference` has it."""
    tolerance: float
    """The largest that is accepted."""

    @property
    def tolerated(self) -> bool:
        """Whether it is small enough."""
        return self.measured <= self.tolerance


def difference(plain: pa.Array, found: pa.Array) -> float:
    """Return the largest absolute difference of two columns of N rows.

    Of what is no floating number, the share of rows that differ. Infinite where one of the two has a null,
    or a list of another length, and the other does not.
    """
    if not plain.is_valid().equals(found.is_valid()):
        return math.inf
    plain, found = plain.drop_null(), found.drop_null()
    while pa.types.is_list(plain.type) or pa.types.is_fixed_size_list(plain.type):
        if not pc.list_value_length(plain).equals(pc.list_value_length(found)):
            return math.inf
        plain, found = plain.flatten(), found.flatten()
    if not len(plain):
        return 0.0
    a, b = (array.to_numpy(zero_copy_only=False) for array in (plain, found))
    if pa.types.is_floating(plain.type):
        return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
    return float((a != b).mean())


def parity(own: pa.RecordBatch, other: pa.RecordBatch, tolerance: Mapping[str, float]) -> tuple[Difference, ...]:
    """Compare columns row by row.

    Parameters
    ----------
    own, other : pyarrow.RecordBatch, N rows
        As `skyloom.runtime.scoring.score` gives them: outputs, then the flag, which must be equal.
    tolerance : mapping of str to float
        As `skyloom.models.card.Card.tolerance` has it.

    Returns
    -------
    tuple of Difference
        One per output.

    Raises
    ------
    SpecError
        If an output has no tolerance.
    DataError
        ``MODEL_OUTPUT`` if the columns are others, the flags differ, or there is no row with a value:
        nothing would be compared.
    """
    if own.schema.names != other.schema.names or own.num_rows != other.num_rows:
        raise _different(f"columns {other.schema.names} of {other.num_rows} rows")
    *names, flag = own.schema.names
    silent = [name for name in names if name not in tolerance]
    if silent:
        msg = f"the card states no tolerance of {', '.join(silent)}: nothing says how far they may be off"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, columns=", ".join(silent))
    if not own.column(flag).equals(other.column(flag)):
        raise _different("rows with other flags")
    if all(own.column(name).null_count == own.num_rows for name in names):
        raise _different("no row with a value")
    return tuple(
        Difference(name, difference(own.column(name), other.column(name)), tolerance[name]) for name in names
    )


def _different(what: str) -> DataError:
    msg = f"columns cannot be compared: there are {what}"
    return DataError(msg, kind=ErrorKind.MODEL_OUTPUT)
