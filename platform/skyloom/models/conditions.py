"""Conditions on columns, as text: ``mag_g < 20``, ``abs(galactic_latitude(ra, dec)) > 15 or known(z)``.

A condition is parsed by Python's own parser into a tree, of which a short list of nodes is allowed, and
computed by Arrow: nothing is executed. What is null, NaN or infinite is *not known*; a condition over it is
true or false only where the rest decides (``a < 1 or b < 2`` holds if ``b`` is 1, whatever ``a`` is).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["Condition"]

_MOST_CHARACTERS = 500
_DEEPEST = 40

_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
}
_COMPUTED: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
}
_NGP_DEG = (192.85948, 27.12825)
"""The north galactic pole, ICRS (Hipparcos catalogue, ESA SP-1200, vol. 1, section 1.5.3)."""


def _galactic_latitude(ra: pa.Array, dec: pa.Array) -> pa.Array:
    """Return galactic latitude, degrees, of ICRS positions, degrees."""
    a, d = (np.deg2rad(_floats(each).to_numpy(zero_copy_only=False)) for each in (ra, dec))
    pole_ra, pole_dec = np.deg2rad(_NGP_DEG)
    sine = np.sin(d) * np.sin(pole_dec) + np.cos(d) * np.cos(pole_dec) * np.cos(a - pole_ra)
    return pa.array(np.rad2deg(np.arcsin(np.clip(sine, -1.0, 1.0))))


def _floats(value: Any) -> Any:
    return value.cast(pa.float64(), safe=False)


_FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, lambda x: pc.abs(_floats(x))),
    "sqrt": (1, lambda x: pc.sqrt(_floats(x))),
    "log10": (1, lambda x: pc.log10(_floats(x))),
    "count": (1, pc.list_value_length),
    "known": (1, pc.is_valid),
    "galactic_latitude": (2, _galactic_latitude),
}
"""By name: number of arguments, and what computes it."""


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
        tree = _parsed(text)
        names = tuple(sorted(set(_names(tree))))
        if not names:
            raise _refused(text, "it names no column: it holds for every row or for none")
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
            found = _value(_parsed(self.text), known)
        except (pa.ArrowException, TypeError, AttributeError) as error:
            types = ", ".join(f"{name} is {columns[name].type}" for name in self.columns)
            raise _refused(self.text, f"{types}: {str(error).splitlines()[0]}") from error
        if not pa.types.is_boolean(found.type):
            raise _refused(self.text, f"it is a value of type {found.type}, not a condition")
        return found


def _known(column: pa.Array) -> pa.Array:
    """Return a column with null for what is not finite, texts and numbers in plain types."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = _floats(column)
        return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    return _floats(column) if pa.types.is_decimal(column.type) else column


def _parsed(text: str) -> ast.expr:
    if len(text) > _MOST_CHARACTERS:
        raise _refused(f"{text[:60]}…", f"it has {len(text)} characters, at most {_MOST_CHARACTERS} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(text, f"it cannot be parsed ({str(error).splitlines()[0]})") from None
    _allow(text, tree, 0)
    return tree


def _allow(text: str, node: ast.expr, depth: int) -> None:
    """Refuse every node that is not one of the few that a condition is made of."""
    if depth > _DEEPEST:
        raise _refused(text, f"it is nested more than {_DEEPEST} deep")
    for child in _children(text, node):
        _allow(text, child, depth + 1)


def _children(text: str, node: ast.expr) -> list[ast.expr]:  # noqa: PLR0911 (one for each kind of node)
    match node:
        case ast.BoolOp():
            return node.values
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd()):
            return [node.operand]
        case ast.BinOp() if type(node.op) in _COMPUTED:
            return [node.left, node.right]
        case ast.Compare():
            return _compared(text, node)
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            if name not in _FUNCTIONS:
                raise _refused(text, f"there is no function {name!r}; {close_matches(name, _FUNCTIONS)}")
            if len(node.args) != _FUNCTIONS[name][0]:
                raise _refused(text, f"{name} takes {_FUNCTIONS[name][0]} arguments, got {len(node.args)}")
            return node.args
        case ast.Name():
            return []
        case ast.Attribute() if _dotted(node):
            return []
        case ast.Constant() if _plain(node.value):
            return []
    raise _refused(text, f"{ast.unparse(node)!r} is not allowed in a condition")


def _plain(value: object) -> bool:
    """Whether a constant is a truth value, a text, or a number that a column can hold."""
    finite = isinstance(value, float) and math.isfinite(value)
    return finite or isinstance(value, bool | str) or (isinstance(value, int) and value < 1 << 63)


def _compared(text: str, node: ast.Compare) -> list[ast.expr]:
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            listed = isinstance(right, ast.Tuple | ast.List) and right.elts
            if not listed or not all(isinstance(each, ast.Constant) for each in right.elts):  # type: ignore[attr-defined]
                raise _refused(text, "what stands behind `in` is a list of values, such as ('a', 'b')")
        elif type(op) not in _COMPARED:
            raise _refused(text, "`is` is not allowed; write known(x), or == and !=")
    values = [each.elts if isinstance(each, ast.Tuple | ast.List) else [each] for each in node.comparators]
    return [node.left, *(each for part in values for each in part)]


def _dotted(node: ast.expr) -> str:
    """Return ``"lc.mag"`` of a name with a dot; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    inner = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if inner and isinstance(node, ast.Attribute) else ""


def _names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        yield _dotted(node)
        return
    parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    for child in parts:
        if isinstance(child, ast.expr):
            yield from _names(child)


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
            return pc.negate(_floats(value)) if isinstance(node.op, ast.USub) else value
        case ast.BinOp():
            left, right = (_floats(_value(each, columns)) for each in (node.left, node.right))
            return _finite(_COMPUTED[type(node.op)](left, right))
        case ast.Compare():
            return _comparison(node, columns)
        case ast.Call(func=ast.Name(id=name)):
            made = _FUNCTIONS[name][1](*(_value(each, columns) for each in node.args))
            return _finite(made) if pa.types.is_floating(made.type) else made
        case ast.Constant():
            return pa.scalar(node.value)
    return columns[_dotted(node)]


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
            step = _same_types(_COMPARED[type(op)], left, right)
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
    return compare(_floats(left), _floats(right))


def _fits(number: pa.Scalar, kind: pa.DataType) -> bool:
    value, signed = number.as_py(), pa.types.is_signed_integer(kind)
    most = 1 << (kind.bit_width - (1 if signed else 0))
    return bool((-most if signed else 0) <= value < most)


def _finite(value: Any) -> Any:
    return pc.if_else(pc.is_finite(value), value, pa.scalar(None, value.type))


def _refused(text: str, why: str) -> SpecError:
    msg = (
        f"eligibility {text!r} cannot be used: {why}. A condition compares columns with numbers, texts or each "
        "other: mag_g < 20, 14 <= mag_g < 20, count(lc.mjd) >= 10, kind in ('a', 'b'), not known(z); joined by "
        "and, or, not; with + - * / and abs, sqrt, log10, count, known, galactic_latitude(ra, dec)"
    )
    return SpecError(msg, kind=ErrorKind.BAD_PARAMETER, condition=text)
