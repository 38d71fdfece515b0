"""Column: what a column holds, in the words of the field, and its Arrow form.

A `Column` is the one description that models, jobs, layers and queries share. It is
stored in the metadata of the Parquet field, where other tools can read it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from skyloom.errors import ErrorKind, SpecError

__all__ = ["ANY_UNIT", "Column", "arrow_type", "schema_of"]

ANY_UNIT = "*"
"""A column that a model reads in whatever unit it comes."""

_UNIT, _UCD, _DESCRIPTION = b"unit", b"ucd", b"description"


def arrow_type(dtype: str) -> pa.DataType:
    """Return the Arrow type that a `Column.dtype` names.

    Parameters
    ----------
    dtype : str
        A primitive type by Arrow's own name (``"float32"``, ``"int64"``, ``"string"``,
        ``"bool"``, …) or ``"list<...>"`` of one.

    Raises
    ------
    SpecError
        If no Arrow type has that name.

    Examples
    --------
    >>> arrow_type("list<float32>")
    ListType(list<item: float>)
    """
    if dtype.startswith("list<") and dtype.endswith(">"):
        return pa.list_(arrow_type(dtype[5:-1]))
    try:
        found: pa.DataType = pa.type_for_alias(dtype)
    except ValueError:
        msg = f"dtype {dtype!r} is no Arrow type; write float32, float64, int64, string, bool or list<...>"
        raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, dtype=dtype) from None
    return found


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, unit and meaning.

    A dotted name (``"lc.flux"``) is a field of a nested column: one list per row.
    """

    name: str
    unit: str = ""
    """IVOA/astropy unit; ``""`` is dimensionless, ``"*"`` any (see `ANY_UNIT`)."""
    description: str = ""
    dtype: str = "float32"
    ucd: str = ""
    """IVOA UCD1+ word, such as ``"phot.flux;em.opt"``."""

    def __post_init__(self) -> None:
        if not self.name or self.name.strip() != self.name:
            msg = f"a column needs a name without surrounding blanks, got {self.name!r}"
            raise SpecError(msg, kind=ErrorKind.BAD_NAME, name=self.name)

    @property
    def parent(self) -> str:
        """The column of the table that holds this one: ``"lc"`` of ``"lc.flux"``."""
        return self.name.partition(".")[0]

    @property
    def child(self) -> str:
        """The field of the nested column, or ``""``: ``"flux"`` of ``"lc.flux"``."""
        return self.name.partition(".")[2]

    @property
    def type(self) -> pa.DataType:
        """The Arrow type."""
        return arrow_type(self.dtype)

    def field(self, *, nullable: bool = True) -> pa.Field:
        """Return the Arrow field, with unit, UCD and description in its metadata."""
        metadata = {
            key: value.encode()
            for key, value in ((_UNIT, self.unit), (_UCD, self.ucd), (_DESCRIPTION, self.description))
            if value
        }
        return pa.field(self.name, self.type, nullable=nullable, metadata=metadata or None)

    @classmethod
    def of_field(cls, field: pa.Field, *, parent: str = "") -> Column:
        """Return the column that an Arrow field describes; what it does not say is empty."""
        metadata = field.metadata or {}
        return cls(
            name=f"{parent}.{field.name}" if parent else field.name,
            unit=metadata.get(_UNIT, b"").decode(errors="replace"),
            description=metadata.get(_DESCRIPTION, b"").decode(errors="replace"),
            dtype=str(field.type),
            ucd=metadata.get(_UCD, b"").decode(errors="replace"),
        )


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """Return the Arrow schema of `columns`, in their order.

    Raises
    ------
    SpecError
        If two columns have one name.
    """
    fields = [column.field() for column in columns]
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"columns {', '.join(twice)} are declared twice; each name stands once in a table"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME, names=", ".join(twice))
    return pa.schema(fields)
