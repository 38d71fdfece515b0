"""What Parquet footers of one catalog share: how they begin, up to the number of rows, and how they end.

The files of a catalog have one schema and one writer, so their footers differ in the row groups
alone. Whoever knows the rest finds the rows of the next file by comparing bytes, and sees that nothing
else in the footer is damaged: parsing a footer costs many times more than reading it.

Footers are Thrift structs in the compact protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md and, for the fields,
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift (``FileMetaData``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

__all__ = ["Frame", "states"]

_ENDING = 8
"""Bytes after a footer that are not Thrift: its length, and the magic."""
_I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 6, 7, 8, 9, 10, 12
_FIXED = {1: 0, 2: 0, 3: 1, _DOUBLE: 8}
"""Bytes of a value of each type that has always the same: true and false (in their headers), byte, double."""
_NUMBERS = (4, 5, _I64)
_LONG_LIST = 15


@dataclass(frozen=True, slots=True)
class Frame:
    """The parts of a footer that those of other files repeat."""

    opening: bytes
    """Version and schema, and the header of the number of rows."""
    closing: bytes
    """What comes after the row groups."""

    @classmethod
    def of(cls, tail: bytes) -> Self | None:
        """Return the frame of a footer; None if its fields are not in the order in which Parquet lists them.

        Parameters
        ----------
        tail : bytes
            The footer, its length and the magic.
        """
        end = len(tail) - _ENDING
        try:
            rows = _fields(tail, 0, (5, _LIST))
            groups = _fields(tail, rows, (_I64, _LIST))
        except (IndexError, ValueError):
            return None
        if groups > end or tail[rows] != 16 | _I64:
            return None
        return cls(tail[: rows + 1], tail[groups:end])

    def rows(self, tail: bytes) -> int | None:
        """Return the number of rows of a footer in this frame; None for a footer in another."""
        if not (tail.startswith(self.opening) and tail.endswith(self.closing, 0, len(tail) - _ENDING)):
            return None
        coded, _ = _number(tail, len(self.opening))
        return (coded >> 1) ^ -(coded & 1)


def states(tail: bytes, rows: int, texts: Mapping[str, str]) -> bool:
    """Say whether a footer has so many rows and these texts, by its bytes alone; False if in doubt.

    Rows and the list of row groups are fields 3 and 4 of ``FileMetaData``.
    """
    counted = bytes([16 | _I64]) + _coded(2 * rows) + bytes([16 | _LIST])
    return counted in tail and all(
        _text(key.encode()) + _text(value.encode()) in tail for key, value in texts.items()
    )


def _coded(number: int) -> bytes:
    """Return an unsigned number of seven bits a byte: `_number` undoes it."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def _text(text: bytes) -> bytes:
    return bytes([16 | _BINARY]) + _coded(len(text)) + text


def _fields(data: bytes, at: int, kinds: tuple[int, ...]) -> int:
    """Return where fields of these types end, each of which is the next after the one before."""
    for kind in kinds:
        if data[at] != 16 | kind:
            raise ValueError(data[at])
        at = _after(data, at + 1, kind)
    return at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _after(data: bytes, at: int, kind: int) -> int:
    """Return where a value ends."""
    if kind in _FIXED:
        end = at + _FIXED[kind]
    elif kind in _NUMBERS:
        _, end = _number(data, at)
    elif kind == _BINARY:
        length, end = _number(data, at)
        end += length
    elif kind in (_LIST, _SET):
        end = _after_list(data, at)
    elif kind == _STRUCT:
        end = _after_struct(data, at)
    else:
        raise ValueError(kind)
    return end


def _after_list(data: bytes, at: int) -> int:
    items, kind, at = data[at] >> 4, data[at] & 15, at + 1
    if items == _LONG_LIST:
        items, at = _number(data, at)
    for _ in range(items):
        # The one value that takes a byte in a list and none in a struct.
        at = at + 1 if kind in (1, 2) else _after(data, at, kind)
    return at


def _after_struct(data: bytes, at: int) -> int:
    while data[at]:
        head, at = data[at], at + 1
        if not head >> 4:
            _, at = _number(data, at)
        at = _after(data, at, head & 15)
    return at + 1
