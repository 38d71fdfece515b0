"""One record of the label log: what somebody said of an object, or took back.

A record is a line of JSON with exactly these keys, written once and never changed:

==============  ======  ==============================================================
``number``      int     place in the log, from 1 without gaps
``prev``        str     sha256 of the line before; ``""`` in the first
``kind``        str     ``"label"`` or ``"undo"``
``object_id``   id      of the row in the catalog: a 64-bit integer, or a text
``label``       str     ``anomaly``, ``normal``, ``unsure``, or the name of a class
``by``          str     pseudonym of the person
``utc``         str     when, ISO 8601, UTC, milliseconds
``comment``     str     free text
``layer``       str     layer whose rows were shown; ``""`` beside a plain folder
``version``     int     its version; 0 if unknown
``column``      str     score by which the object was chosen; ``""`` if by none
``score``       float   its value; null if there is none
``undoes``      int     number of the record that an undo takes back; 0 in a label
==============  ======  ==============================================================
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.storage import canonical_json, check_name, sha256_bytes

__all__ = ["ANOMALY", "NORMAL", "UNSURE", "Id", "Label", "current", "decisions", "numbered", "parse"]

ANOMALY, NORMAL, UNSURE = "anomaly", "normal", "unsure"
"""Labels with a meaning of their own; every other one is the name of a class."""

LABEL, UNDO = "label", "undo"

Id = int | str
"""What a catalog calls a row."""

_COMMENT_CHARACTERS = 2000
_INT64 = 2**63
_ID_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Label:
    """One record; the fields are those of the module's table.

    Raises
    ------
    SpecError
        If a value is not of the kind that the table says: an id beyond 64 bits or 200 characters, a name with
        characters that are not allowed, a comment of more than 2,000 characters, a score that
        is not finite.
    """

    object_id: Id
    label: str
    by: str
    utc: str
    comment: str = ""
    layer: str = ""
    version: int = 0
    column: str = ""
    score: float | None = None
    kind: str = LABEL
    undoes: int = 0
    number: int = 1
    prev: str = ""

    def __post_init__(self) -> None:
        check_name(self.label, what="label")
        _check_person(self.by)
        _check_id(self.object_id)
        if len(self.comment) > _COMMENT_CHARACTERS:
            msg = f"the comment has {len(self.comment)} characters; at most {_COMMENT_CHARACTERS} are kept"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if self.score is not None and not math.isfinite(self.score):
            msg = f"the score of object {self.object_id} is {self.score}; leave it out where there is none"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    @property
    def line(self) -> bytes:
        """The record as it lies on disk."""
        return canonical_json(asdict(self)) + b"\n"

    @property
    def sha256(self) -> str:
        """Digest of the line; it stands for this record and all before it."""
        return sha256_bytes(self.line)


def _check_id(object_id: Id) -> None:
    if isinstance(object_id, str):
        is_right = 0 < len(object_id) <= _ID_CHARACTERS and object_id.isprintable()
        what = f"printable text of up to {_ID_CHARACTERS} characters"
    else:
        is_right = not isinstance(object_id, bool) and -_INT64 <= object_id < _INT64
        what = "64-bit integer"
    if not is_right:
        msg = f"object id {object_id!r:.80} is no {what}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, object_id=str(object_id)[:80])


def _check_person(by: str) -> None:
    try:
        check_name(by, what="person")
    except SpecError as error:
        msg = f"{error.message}. Labels are shared, so give a pseudonym, not an address or a full name"
        raise SpecError(msg, kind=ErrorKind.BAD_NAME) from None


def parse(data: bytes, *, where: str, after: Label | None) -> Label:
    """Return the record that a file holds.

    Parameters
    ----------
    data : bytes
        One line.
    where : str
        The file, for messages.
    after : Label or None
        The record before.

    Raises
    ------
    DataError
        BAD_FILE if the line is no record; DIGEST_MISMATCH if it is not the one that follows `after`.
    """
    try:
        values = json.loads(data)
        if set(values) != {field.name for field in fields(Label)}:
            raise ValueError(f"it has the keys {sorted(values)}")
        datetime.fromisoformat(values["utc"])
        label = Label(**values)
        line = label.line
    except (ValueError, TypeError, KeyError, SpecError) as error:
        msg = f"{where} is no label record ({error}); restore it from a copy"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, where=where) from error
    number, prev = (after.number + 1, after.sha256) if after else (1, "")
    if line != data or (label.number, label.prev) != (number, prev):
        msg = (
            f"{where} was changed, or a record before it was: it does not follow record {number - 1}; restore both"
        )
        raise DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, where=where)
    return label


def current(records: Iterable[Label]) -> list[Label]:
    """Return what holds now: of each person, the last label of each object that was not taken back."""
    listed = list(records)
    undone = {record.undoes for record in listed if record.kind == UNDO}
    held = {
        (record.by, record.object_id): record
        for record in listed
        if record.kind == LABEL and record.number not in undone
    }
    return sorted(held.values(), key=lambda record: record.number)


def decisions(records: Iterable[Label]) -> dict[Id, str]:
    """Return one label per object: what most people say; of equally many, who spoke last.

    Examples
    --------
    >>> said = [("ann", "anomaly"), ("ben", "normal"), ("cy", "normal")]
    >>> decisions(
    ...     Label(7, label, by, "2026-01-01T00:00:00+00:00", number=n)
    ...     for n, (by, label) in enumerate(said, 1)
    ... )
    {7: 'normal'}
    """
    votes: dict[Id, dict[str, tuple[int, int]]] = {}
    for record in current(records):
        said = votes.setdefault(record.object_id, {})
        count, _ = said.get(record.label, (0, 0))
        said[record.label] = (count + 1, record.number)
    return {object_id: max(said, key=said.__getitem__) for object_id, said in votes.items()}


def numbered(object_id: Id) -> int:
    """Return the integer by which a ranking knows an object: the id, or 63 bits of a text's digest.

    Examples
    --------
    >>> numbered(615), numbered("ZTF18abc") == numbered("ZTF18abc")
    (615, True)
    """
    if isinstance(object_id, str):
        return int.from_bytes(hashlib.sha256(object_id.encode()).digest()[:8], "little") >> 1
    return int(object_id)
