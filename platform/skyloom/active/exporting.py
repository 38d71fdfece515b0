"""Labels in a file, for other programs and for publication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from skyloom.active.labels import to_table
from skyloom.active.records import Label
from skyloom.errors import ErrorKind, SpecError
from skyloom.query.write import write_result
from skyloom.storage import canonical_json

__all__ = ["anonymised", "export_labels"]


def anonymised(records: Sequence[Label]) -> list[Label]:
    """Return the records with ``person-1``, ``person-2``, … for people, in order of appearance, and no comments.

    The numbers follow from nothing but that order, so that no list of names can be tried against them.
    The digests of the log no longer hold, and are left out.
    """
    people = {by: f"person-{k}" for k, by in enumerate(dict.fromkeys(record.by for record in records), start=1)}
    return [replace(record, by=people[record.by], comment="", prev="") for record in records]


def export_labels(
    records: Sequence[Label], path: Path, *, anonymous: bool = False, overwrite: bool = False
) -> None:
    """Write records to a file; its name says the format.

    ``.jsonl`` is the log itself, a record a line; the others are tables with the columns of
    `skyloom.active.labels.SCHEMA`, as `skyloom.query.write.write_result` writes them.

    Raises
    ------
    SpecError
        If the file exists, or its ending is no format.
    """
    chosen = anonymised(records) if anonymous else list(records)
    if path.suffix.lower() != ".jsonl":
        write_result(to_table(chosen), path, overwrite=overwrite)
        return
    lines = b"".join(canonical_json(asdict(record)) + b"\n" for record in chosen)
    try:
        with path.open("wb" if overwrite else "xb") as file:
            file.write(lines)
    except FileExistsError:
        msg = f"{path} exists: choose another name, or ask to overwrite it"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, path=str(path)) from None
