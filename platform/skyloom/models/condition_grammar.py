"""What a condition may be made of: Python's own parser, and the few nodes of its tree that are allowed."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["COMPARED", "COMPUTED", "FUNCTIONS", "columns_in", "dotted", "floats", "parsed", "refused"]

_MOST_CHARACTERS = 500
_DEEPEST = 40

COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
}
COMPUTED: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
}
_NGP_DEG = (192.85948, 27.12825)
"""The north galactic pole, ICRS (Hipparcos catalogue, ESA SP-1200, vol. 1, section 1.5.3)."""


def _galactic_latitude(ra: pa.Array, dec: pa.Array) -> pa.Array:
    """Return galactic latitude, degrees, of ICRS positions, degrees."""
    a, d = (np.deg2rad(floats(each).to_numpy(zero_copy_only=False)) for each in (ra, dec))
    pole_ra, pole_dec = np.deg2rad(_NGP_DEG)
    sine = np.sin(d) * np.sin(pole_dec) + np.cos(d) * np.cos(pole_dec) * np.cos(a - pole_ra)
    return pa.array(np.rad2deg(np.arcsin(np.clip(sine, -1.0, 1.0))))


def floats(value: Any) -> Any:
    """Return an array or scalar as float64."""
    return value.cast(pa.float64(), safe=False)


FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, lambda x: pc.abs(floats(x))),
    "sqrt": (1, lambda x: pc.sqrt(floats(x))),
    "log10": (1, lambda x: pc.log10(floats(x))),
    "count": (1, pc.list_value_length),
    "known": (1, pc.is_valid),
    "galactic_latitude": (2, _galactic_latitude),
}
"""By name: number of arguments, and what computes it."""


def parsed(text: str) -> ast.expr:
    """Parse a condition, and refuse what is not allowed in one.

    Raises
    ------
    SpecError
        With the part that is not allowed.
    """
    if len(text) > _MOST_CHARACTERS:
        raise refused(f"{text[:60]}…", f"it has {len(text)} characters, at most {_MOST_CHARACTERS} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise refused(text, f"it cannot be parsed ({str(error).splitlines()[0]})") from None
    _allow(text, tree, 0)
    return tree


def _allow(text: str, node: ast.expr, depth: int) -> None:
    """Refuse every node that is not one of the few that a condition is made of."""
    if depth > _DEEPEST:
        raise refused(text, f"it is nested more than {_DEEPEST} deep")
    for child in _children(text, node):
        _allow(text, child, depth + 1)


def _children(text: str, node: ast.expr) -> list[ast.expr]:  # noqa: PLR0911 (one for each kind of node)
    match node:
        case ast.BoolOp():
            return node.values
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd()):
            return [node.operand]
        case ast.BinOp() if type(node.op) in COMPUTED:
            return [node.left, node.right]
        case ast.Compare():
            return _compared(text, node)
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            if name not in FUNCTIONS:
                raise refused(text, f"there is no function {name!r}; {close_matches(name, FUNCTIONS)}")
            if len(node.args) != FUNCTIONS[name][0]:
                raise refused(text, f"{name} takes {FUNCTIONS[name][0]} arguments, got {len(node.args)}")
            return node.args
        case ast.Name():
            return []
        case ast.Attribute() if dotted(node):
            return []
        case ast.Constant() if _plain(node.value):
            return []
    raise refused(text, f"{ast.unparse(node)!r} is not allowed in a condition")


def _plain(value: object) -> bool:
    """Whether a constant is a truth value, a text, or a number that a column can hold."""
    finite = isinstance(value, float) and math.isfinite(value)
    return finite or isinstance(value, bool | str) or (isinstance(value, int) and value < 1 << 63)


def _compared(text: str, node: ast.Compare) -> list[ast.expr]:
    for op, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            listed = isinstance(right, ast.Tuple | ast.List) and right.elts
            if not listed or not all(isinstance(each, ast.Constant) for each in right.elts):  # type: ignore[attr-defined]
                raise refused(text, "what stands behind `in` is a list of values, such as ('a', 'b')")
        elif type(op) not in COMPARED:
            raise refused(text, "`is` is not allowed; write known(x), or == and !=")
    values = [each.elts if isinstance(each, ast.Tuple | ast.List) else [each] for each in node.comparators]
    return [node.left, *(each for part in values for each in part)]


def dotted(node: ast.expr) -> str:
    """Return ``"lc.mag"`` of a name with a dot; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if inner and isinstance(node, ast.Attribute) else ""


def columns_in(node: ast.expr) -> Iterator[str]:
    """Yield the names of the columns in a tree."""
    if isinstance(node, ast.Name | ast.Attribute):
        yield dotted(node)
        return
    parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    for child in parts:
        if isinstance(child, ast.expr):
            yield from columns_in(child)


def refused(text: str, why: str) -> SpecError:
    """Return what to say of a condition that cannot be used."""
    msg = (
        f"eligibility {text!r} cannot be used: {why}. A condition compares columns with numbers, texts or each "
        "other: mag_g < 20, 14 <= mag_g < 20, count(lc.mjd) >= 10, kind in ('a', 'b'), not known(z); joined by "
        "and, or, not; with + - * / and abs, sqrt, log10, count, known, galactic_latitude(ra, dec)"
    )
    return SpecError(msg, kind=ErrorKind.BAD_PARAMETER, condition=text)
