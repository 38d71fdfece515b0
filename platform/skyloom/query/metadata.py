"""Unit, UCD and description of result columns, from the columns that they select."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

__all__ = ["with_metadata"]


def with_metadata(
    result: pa.Schema,
    schemas: Sequence[pa.Schema],
    *,
    plain: Mapping[str, Sequence[str]],
    unnested: Collection[str],
    computed: Collection[str],
) -> pa.Schema:
    """Return the schema of a result with the field metadata of what its columns plainly select.

    A column gets metadata only when that is certain: its name is a column of a table, of the
    same type, and nothing in the statement gives that name to an expression. ``flux * 2 AS
    flux`` carries no unit.

    Parameters
    ----------
    result : pyarrow.Schema
        Of what comes out of the query.
    schemas : sequence of pyarrow.Schema
        Of the tables; the first that has a column describes it.
    plain : mapping of str to sequence of str
        Result names that select a column, with its path: ``{"f": ("lc", "flux")}``.
    unnested : collection of str
        Those of them with one row per element: the unit of a list is that of its elements.
    computed : collection of str
        Names, in lower case, that the statement gives to expressions.
    """
    known = _known(schemas)
    fields = []
    for field in result:
        path = tuple(part.casefold() for part in plain.get(field.name, (field.name,)))
        # The last two parts may be a nested column and its field, or a table and its column.
        source = known.get(path[-2:]) or known.get(path[-1:])
        is_same = source is not None and path[-1] not in computed
        if source is not None and is_same and _same_type(_element(source, field, unnested), field.type):
            field = field.with_metadata(source.metadata)  # noqa: PLW2901
        fields.append(field)
    return pa.schema(fields)


def _element(source: pa.Field, field: pa.Field, unnested: Collection[str]) -> pa.DataType:
    return source.type.value_type if field.name in unnested and _is_list(source.type) else source.type


def _known(schemas: Sequence[pa.Schema]) -> dict[tuple[str, ...], pa.Field]:
    known: dict[tuple[str, ...], pa.Field] = {}
    for field in (field for schema in schemas for field in schema):
        known.setdefault((field.name.casefold(),), field)
        if pa.types.is_struct(field.type):
            for i in range(field.type.num_fields):
                child = field.type.field(i)
                known.setdefault((field.name.casefold(), child.name.casefold()), child)
    return known


def _same_type(source: pa.DataType, found: pa.DataType) -> bool:
    """Say whether DuckDB returns `source` as `found`: it has one string type and its own names in lists."""
    if pa.types.is_dictionary(source):
        source = source.value_type
    if pa.types.is_struct(source) and pa.types.is_struct(found):
        pairs = [(source.field(i), found.field(i)) for i in range(min(source.num_fields, found.num_fields))]
        return source.num_fields == found.num_fields and all(
            a.name == b.name and _same_type(a.type, b.type) for a, b in pairs
        )
    if _is_list(source) and _is_list(found):
        return _same_type(source.value_type, found.value_type)
    if _is_string(source):
        return _is_string(found)
    return bool(source == found)


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype))


def _is_string(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))
