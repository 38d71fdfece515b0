"""Conditions on columns, as text: ``mag_g < 20``, ``abs(galactic_latitude(ra, dec)) > 15 or known(z)``.

A condition is parsed by Python's own parser into a tree, of which a short list of nodes is allowed, and
computed by Arrow: nothing is executed. What is null, NaN or infinite is *not known*; a condition over it is
true or false only where the rest decides (``a < 1 or b < 2`` holds if ``b`` is 1, whatever ``a`` is).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skyloom.models.condition_grammar import (
    COMPARED,
    COMPUTED,
    FUNCTIONS,
    columns_in,
    dotted,
    floats,
    parsed,
    refused,
)

__all__ = ["Condition"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `of` makes it from text."""

    text: str
    """In one spelling: equal conditions, however spaced, have equal texts."""
    columns: tuple[str, ...]
    """Names of the columns in it, sorted; dotted for a field of a nested column."""

    @classmethod
    def of(cls, text: str) -> Condition:
        """Parse a condition.

        Raises
        ------
        SpecError
            If it is no condition on columns, or holds anything that is not allowed.
        """
        tree = parsed(text)
        names = tuple(sorted(set(columns_in(tree))))
        if not names:
            raise refused(text, "it names no column: it holds for every row or for none")
        return cls(ast.unparse(tree), names)

    def check(self, types: Mapping[str, pa.DataType]) -> None:
        """Refuse a condition that columns of these types cannot answer.

        Raises
        ------
        SpecError
            If a comparison, a function or the whole does not fit the types.
        """
        self.holds({name: pa.array([], types[name]) for name in self.columns})

    def holds(self, columns: Mapping[str, pa.Array]) -> pa.Array:
        """Return for each of N rows whether the condition holds; null where it is not known.

        Parameters
        ----------
        columns : mapping of str to pyarrow.Array, N rows
            At least `columns`.

        Raises
        ------
        SpecError
            As `check`.
        """
        known = {name: _known(columns[name]) for name in self.columns}
        try:
            found = _value(parsed(self.text), known)
        except (pa.ArrowException, TypeError, AttributeError) as error:
            types = ", ".join(f"{name} is {columns[name].type}" for name in self.columns)
            raise refused(self.text, f"{types}: {str(error).splitlines()[0]}") from error
        if not pa.types.is_boolean(found.type):
            raise refused(self.text, f"it is a value of type {found.type}, not a condition")
        return found


def _known(column: pa.Array) -> pa.Array:
    """Return a column with null for what is not finite, texts and numbers in plain types."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = floats(column)
        return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    return floats(column) if pa.types.is_decimal(column.type) else column


def _value(node: ast.expr, columns: Mapping[str, pa.Array]) -> Any:  # noqa: PLR0911 (one for each kind)
    match node:
        case ast.BoolOp():
            join = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
            found = _value(node.values[0], columns)
            for each in node.values[1:]:
                found = join(found, _value(each, columns))
            return found
        case ast.UnaryOp(op=ast.Not()):
            return pc.invert(_value(node.operand, columns))
        case ast.UnaryOp():
            value = _value(node.operand, columns)
            return pc.negate(floats(value)) if isinstance(node.op, ast.USub) else value
        case ast.BinOp():
            left, right = (floats(_value(each, columns)) for each in (node.left, node.right))
            return _finite(COMPUTED[type(node.op)](left, right))
        case ast.Compare():
            return _comparison(node, columns)
        case ast.Call(func=ast.Name(id=name)):
            made = FUNCTIONS[name][1](*(_value(each, columns) for each in node.args))
            return _finite(made) if pa.types.is_floating(made.type) else made
        case ast.Constant():
            return pa.scalar(node.value)
    return columns[dotted(node)]


def _comparison(node: ast.Compare, columns: Mapping[str, pa.Array]) -> Any:
    found = None
    left = _value(node.left, columns)
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(comparator, ast.Tuple | ast.List)
            held = None
            for each in comparator.elts:
                same = _same_types(pc.equal, left, _value(each, columns))
                held = same if held is None else pc.or_kleene(held, same)
            step = pc.invert(held) if isinstance(op, ast.NotIn) else held
        else:
            right = _value(comparator, columns)
            step = _same_types(COMPARED[type(op)], left, right)
            left = right
        found = step if found is None else pc.and_kleene(found, step)
    return found


def _same_types(compare: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Compare; a whole number with a column of such exactly, other numbers of two types as float64."""
    types = (left.type, right.type)
    if types[0] == types[1] or not all(pa.types.is_floating(t) or pa.types.is_integer(t) for t in types):
        return compare(left, right)
    if all(map(pa.types.is_integer, types)):
        for a, b in ((left, right), (right, left)):
            if isinstance(b, pa.Scalar) and _fits(b, a.type):
                fitted = b.cast(a.type)
                return compare(left, fitted) if b is right else compare(fitted, right)
    return compare(floats(left), floats(right))


def _fits(number: pa.Scalar, kind: pa.DataType) -> bool:
    value, signed = number.as_py(), pa.types.is_signed_integer(kind)
    most = 1 << (kind.bit_width - (1 if signed else 0))
    return bool((-most if signed else 0) <= value < most)


def _finite(value: Any) -> Any:
    return pc.if_else(pc.is_finite(value), value, pa.scalar(None, value.type))
