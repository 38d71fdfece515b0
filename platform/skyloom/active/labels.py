"""LabelStore: what people said about objects, beside the layer they looked at, never overwritten.

Record ``n`` is the file ``labels/<n>.json`` of the layer's directory (or of any folder), created
once, whole and durable by `skyloom.storage.Store.put_if_absent`: of two writers of one number one
wins, and the other takes the next number. A record holds the digest of the one before, so a
record that was changed or removed is noticed by the next reader. An undo is a record too.

The log belongs to the layer, not to one of its versions: it survives a new run and
``skyloom layer expire``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from skyloom.active.records import LABEL, UNDO, Id, Label, current, decisions, parse
from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.storage import LocalStore, Store, open_store

if TYPE_CHECKING:
    from skyloom.jobs.layers import Layer

__all__ = ["SCHEMA", "LabelStore", "to_table"]

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("kind", pa.string()),
        ("object_id", pa.int64()),
        ("label", pa.string()),
        ("by", pa.string()),
        ("utc", pa.timestamp("ms", tz="UTC")),
        ("comment", pa.string()),
        ("layer", pa.string()),
        ("version", pa.int32()),
        ("column", pa.string()),
        ("score", pa.float64()),
        ("undoes", pa.int64()),
    ]
)
"""Columns of an exported log; see `skyloom.active.records` for what they mean.

Where an id is a text, all are texts.
"""

_FOLDER = "labels"
_NAME = re.compile(r"(\d{8,})\.json")


class LabelStore:
    """The labels beside one layer; `open` makes it.

    Parameters
    ----------
    store : Store
        Where the layer lies.
    folder : str
        Name of the directory of the log in it.
    layer : str
        Name of the layer, noted in each new record; ``""`` beside a plain folder.
    version : int
        Version that is looked at, noted likewise.
    """

    def __init__(self, store: Store, folder: str, *, layer: str = "", version: int = 0) -> None:
        self.layer, self.version = layer, version
        self._store, self._folder = store, folder
        self._records: list[Label] = []
        self._is_made = False
        # One process may serve several people: a page's callbacks come from threads.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"LabelStore({self._store.location(self._folder)!r})"

    @classmethod
    def open(cls, place: Layer | str | Path) -> LabelStore:
        """Return the labels beside a layer, or in a folder; nothing is written.

        Parameters
        ----------
        place : Layer, str or Path
            An opened layer, its directory or URL, or any folder, such as a catalog's. A layer
            and its directory have the same labels.

        Raises
        ------
        NotFoundError
            If there is no such folder.
        """
        if not isinstance(place, str | Path):
            return cls(place.store, f"{place.name}/{_FOLDER}", layer=place.name, version=place.version)
        store = open_store(str(place).rstrip("/") if "://" in str(place) else Path(place))
        if isinstance(store, LocalStore) and not Path(store.root).is_dir():
            msg = f"there is no folder {store.root}; give a layer's directory, or another folder to keep labels in"
            raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, place=store.root)
        if store.names("refs"):
            from skyloom.jobs.layers import open_layer

            return cls.open(open_layer(place))
        return cls(store, _FOLDER)

    def add(
        self,
        object_id: Id,
        label: str,
        by: str,
        comment: str = "",
        *,
        column: str = "",
        score: float | None = None,
    ) -> Label:
        """Record that a person gave an object a label; durable when this returns.

        Parameters
        ----------
        object_id : int or str
            Of the row in the catalog.
        label : str
            ``"anomaly"``, ``"normal"``, ``"unsure"`` or the name of a class.
        by : str
            Pseudonym: letters, digits, ``_``, ``.`` and ``-``.
        comment : str
            Anything worth remembering, up to 2,000 characters.
        column : str
            Score by which the object was chosen.
        score : float, optional
            Its value.

        Returns
        -------
        Label
            The record.

        Raises
        ------
        SpecError
            If a value cannot be recorded.
        StoreFullError, TransientError
            If it could not be written; nothing is recorded then.
        """
        new = self.check(object_id, label, by, comment, column=column, score=score)
        written = self._append(lambda _: new)
        assert written is not None  # only an undo may find nothing to do
        return written

    def check(
        self,
        object_id: Id,
        label: str,
        by: str,
        comment: str = "",
        *,
        column: str = "",
        score: float | None = None,
    ) -> Label:
        """Return the record that `add` would write, but for its number; nothing is written.

        Raises
        ------
        SpecError
            If a value cannot be recorded.
        """
        return Label(
            object_id=object_id if isinstance(object_id, str) else int(object_id),
            label=label,
            by=by,
            utc=_now(),
            comment=comment,
            layer=self.layer,
            version=self.version,
            column=column,
            score=None if score is None else float(score),
        )

    def undo(self, by: str) -> Label | None:
        """Take back the last label of a person that still stands; again, the one before.

        Returns
        -------
        Label or None
            The label that was taken back; None if the person has none.

        Raises
        ------
        StoreFullError, TransientError
            If it could not be written; nothing is taken back then.
        """
        with self._lock:
            self._read()
            undone = self._append(lambda records: _undo(records, by))
            return None if undone is None else self._records[undone.undoes - 1]

    def labels(self) -> list[Label]:
        """Return the labels that hold: of each person the last one of each object, oldest first."""
        return current(self.history())

    def decisions(self) -> dict[Id, str]:
        """Return one label per object: what most people say; of equally many, who spoke last."""
        return decisions(self.history())

    def history(self) -> list[Label]:
        """Return every record there is, undone ones and undos too, oldest first.

        Raises
        ------
        DataError
            If a record was changed or is missing.
        """
        with self._lock:
            self._read()
            return list(self._records)

    def digest(self) -> str:
        """Return the digest of the newest record, which stands for all of them; ``""`` if there is none."""
        records = self.history()
        return records[-1].sha256 if records else ""

    def _append(self, make: Callable[[list[Label]], Label | None]) -> Label | None:
        """Write what `make` makes of the records so far, as the next one; again if somebody else was first."""
        with self._lock:
            if not self._is_made:
                self._store.make_directories([self._folder])
                self._read()
                self._is_made = True
            while (made := make(self._records)) is not None:
                number, prev = len(self._records) + 1, self._records[-1].sha256 if self._records else ""
                record = replace(made, number=number, prev=prev)
                if self._store.put_if_absent(self._name(number), record.line):
                    self._records.append(record)
                    return record
                self._read()
            return None

    def _read(self) -> None:
        """Read the records that were added since."""
        numbers = [int(m[1]) for m in map(_NAME.fullmatch, self._store.names(self._folder)) if m]
        known = len(self._records)
        wanted = [self._name(number) for number in range(known + 1, max(numbers, default=0) + 1)]
        # By number and not as listed: a listing may show a record and miss the older one before it.
        found = dict(self._store.read_present(wanted))
        for name in wanted:
            if name not in found:
                raise self._gap(name)
            after = self._records[-1] if self._records else None
            self._records.append(parse(found[name], where=self._store.location(name), after=after))
        if len(numbers) < known:
            raise self._gap(self._name(max(numbers, default=0) + 1))
        if wanted:
            # A label seen here must not be gone after a power failure: rankings name it.
            self._store.settle(wanted[-1])

    def _gap(self, name: str) -> DataError:
        where = self._store.location(name)
        msg = f"the label record {where} is missing; labels are never deleted: restore it from a copy"
        return DataError(msg, kind=ErrorKind.DIGEST_MISMATCH, where=where)

    def _name(self, number: int) -> str:
        return f"{self._folder}/{number:08d}.json"


def to_table(records: Iterable[Label]) -> pa.Table:
    """Return records as a table with the columns of `SCHEMA`."""
    rows = [asdict(record) | {"utc": datetime.fromisoformat(record.utc)} for record in records]
    if not any(isinstance(row["object_id"], str) for row in rows):
        return pa.Table.from_pylist(rows, schema=SCHEMA)
    place = SCHEMA.get_field_index("object_id")
    schema = SCHEMA.set(place, SCHEMA.field(place).with_type(pa.string()))
    return pa.Table.from_pylist([row | {"object_id": str(row["object_id"])} for row in rows], schema=schema)


def _undo(records: list[Label], by: str) -> Label | None:
    taken = {record.undoes for record in records if record.kind == UNDO}
    standing = [r for r in records if r.kind == LABEL and r.by == by and r.number not in taken]
    if not standing:
        return None
    last = standing[-1]
    return replace(last, kind=UNDO, undoes=last.number, utc=_now(), comment="")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
