"""How far two versions of the same columns are from each other, held against the tolerances of a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["Parity", "parity"]


@dataclass(frozen=True, slots=True)
class Parity:
    """One column, compared."""

    column: str
    difference: float
    """Largest absolute difference; of texts and truth values, the share of rows that differ."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance


def parity(own: pa.RecordBatch, other: pa.RecordBatch, tolerance: Mapping[str, float]) -> tuple[Parity, ...]:
    """Compare columns row by row.

    Parameters
    ----------
    own, other : pyarrow.RecordBatch, N rows
        As `skyloom.runtime.scoring.score` gives them: outputs, then the flag, which must be equal.
    tolerance : mapping of str to float
        As `skyloom.models.card.Card.tolerance` has it.

    Returns
    -------
    tuple of Parity
        One per output.

    Raises
    ------
    SpecError
        If an output has no tolerance.
    DataError
        ``MODEL_OUTPUT`` if the columns are others, the flags differ, a row is null in one of them alone, or
        there is no row with a value: nothing would be compared.
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
        Parity(name, _difference(own.column(name), other.column(name)), tolerance[name]) for name in names
    )


def _difference(own: pa.Array, other: pa.Array) -> float:
    if not own.is_null().equals(other.is_null()):
        raise _different("nulls in other rows")
    own, other = own.drop_null(), other.drop_null()
    while pa.types.is_list(own.type) or pa.types.is_fixed_size_list(own.type):
        if not pc.list_value_length(own).equals(pc.list_value_length(other)):
            raise _different("lists of other lengths")
        own, other = own.flatten(), other.flatten()
    if not len(own):
        return 0.0
    if pa.types.is_floating(own.type) or pa.types.is_integer(own.type):
        a, b = (each.to_numpy(zero_copy_only=False).astype(np.float64) for each in (own, other))
        return float(np.abs(a - b).max())
    return float(np.mean(pc.not_equal(own, other).to_numpy(zero_copy_only=False)))


def _different(what: str) -> DataError:
    msg = f"columns cannot be compared: there are {what}"
    return DataError(msg, kind=ErrorKind.MODEL_OUTPUT)
