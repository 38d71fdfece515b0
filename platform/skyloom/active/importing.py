"""Labels from a table: a spectroscopic sample, a vetted list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from skyloom.active.labels import LabelStore
from skyloom.active.reading import holds_text
from skyloom.active.records import Id
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError, close_matches

__all__ = ["import_labels", "read_labels"]


def read_labels(path: Path, *, id_column: str, label_column: str) -> dict[Id, str]:
    """Return label by object id of a ``.parquet`` or ``.csv`` file; rows without a label are passed over.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        If its ending is another, or a column is not there or no id.
    DataError
        DUPLICATE_ID if an object is there with two labels; BAD_FILE if the file cannot be read.
    """
    table = _read(path)
    for name in (id_column, label_column):
        if name not in table.column_names:
            msg = f"{path} has no column {name!r}; {close_matches(name, table.column_names)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
    try:
        is_text = holds_text(table.schema.field(id_column).type)
        ids = table[id_column].cast(pa.string() if is_text else pa.int64()).to_pylist()
        labels = table[label_column].cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        msg = f"{path}: {id_column} must be integers or texts and {label_column} texts ({error})"
        raise SpecError(msg, kind=ErrorKind.COLUMN_TYPE, path=str(path)) from error
    said: dict[Id, str] = {}
    for object_id, label in zip(ids, labels, strict=True):
        if object_id in (None, "") or not label:
            continue
        if said.setdefault(object_id, label) != label:
            msg = f"{path} says of object {object_id} both {said[object_id]!r} and {label!r}; keep one of them"
            raise DataError(msg, kind=ErrorKind.DUPLICATE_ID, object_id=object_id)
    return said


def import_labels(store: LabelStore, said: Mapping[Id, str], *, by: str, comment: str = "") -> int:
    """Record labels that the person has not given yet, and return how many.

    Every label is checked before the first is recorded; then each is durable by itself, so that running the
    same import again goes on where it was cut short.

    Raises
    ------
    SpecError
        If a label cannot be recorded; none of them is then.
    """
    known = {(r.object_id, r.label) for r in store.labels() if r.by == by}
    missing = {i: label for i, label in said.items() if (i, label) not in known}
    for object_id, label in missing.items():
        store.check(object_id, label, by, comment)
    for object_id, label in missing.items():
        store.add(object_id, label, by, comment)
    return len(missing)


def _read(path: Path) -> pa.Table:
    readers = {".parquet": _parquet, ".csv": _csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        msg = f"{path} ends in {path.suffix or 'nothing'}; labels are imported from {' or '.join(readers)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, path=str(path))
    if not path.is_file():
        msg = f"there is no file {path}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, path=str(path))
    try:
        return reader(path)
    except (pa.ArrowException, OSError) as error:
        msg = f"{path} cannot be read ({error}); write it again"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, path=str(path)) from error


def _parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(path)


def _csv(path: Path) -> pa.Table:
    from pyarrow import csv

    return csv.read_csv(path)
