"""`skyloom label`: say what objects are; list, take back and export what was said."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from skyloom.cli.output import DONE, FAILED, show_json, show_record, show_table, show_text
from skyloom.errors import ErrorKind, SpecError

if TYPE_CHECKING:
    from skyloom.active import Label, LabelStore
    from skyloom.active.records import Id
    from skyloom.jobs import Layer

__all__ = ["app"]

app = cyclopts.App(
    name="label",
    help_epilogue="",
)
Flag = Annotated[bool, Parameter(negative=())]

_SHOWN = ("number", "kind", "object_id", "label", "by", "utc", "column", "score", "undoes", "comment")


@app.default
def add(
    layer: str,
    /,
    *,
    id: Annotated[list[str], Parameter(consume_multiple=True, negative=())],  # noqa: A002
    as_: Annotated[str, Parameter(name="--as")],
    by: str,
    comment: str = "",
    column: str = "",
    store: str | None = None,
    unchecked: Flag = False,
    json: Flag = False,
) -> int:
    """Record what objects of a layer are; list, undo, import and export labels.

    For example:
        skyloom label lightcurve-features --store layers --id 615 713 --as anomaly --by ann
        skyloom label layers/transient-anomaly --id 730 --as sn-ii --by ben --column transient_anomaly_pct

    Parameters
    ----------
    layer
        A layer's name in --store, its directory, or any folder to keep labels in.
    id
        One or more object ids: integers, or texts where the catalog's are.
    as_
        anomaly, normal, unsure, or the name of a class.
    by
        Your pseudonym. Labels are shared: no address, no full name.
    comment
        Anything worth remembering.
    column
        A score of the layer by which the objects were chosen; its values are kept.
    store
        The folder or URL where layers lie.
    unchecked
        Do not look whether the layer has the objects: for layers too large to look.
    json
        Print the records as JSON, for programs.
    """
    from skyloom.active.reading import find_objects, typed_ids

    labels, opened = _opened(layer, store)
    ids = list(dict.fromkeys(typed_ids(opened, id)))
    values: dict[Id, float | None] = dict.fromkeys(ids)
    if opened is not None and not unchecked:
        values = find_objects(opened, ids, column or None)
    elif column:
        msg = f"--column {column} needs a layer to look it up in, and no --unchecked"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    said = [labels.add(i, as_, by, comment, column=column, score=values[i]) for i in ids]
    show_table(_rows(said), columns=_SHOWN, as_json=json)
    return DONE


@app.command(name="list")
def list_(layer: str, /, *, store: str | None = None, history: Flag = False, json: Flag = False) -> int:
    """List the labels that hold now.

    For example:
        skyloom label list lightcurve-features --store layers
        skyloom label list layers/lightcurve-features --history --json

    Parameters
    ----------
    layer
        A layer's name in --store, its directory, or a folder with labels.
    store
        The folder or URL where layers lie.
    history
        List every record: labels that were taken back, and the undos, too.
    json
        Print a JSON list, for programs.
    """
    labels, _ = _opened(layer, store)
    show_table(_rows(labels.history() if history else labels.labels()), columns=_SHOWN, as_json=json)
    return DONE


@app.command
def undo(layer: str, /, *, by: str, store: str | None = None, json: Flag = False) -> int:
    """Take back a person's last label; again, the one before. A record of its own: nothing is deleted.

    For example:
        skyloom label undo lightcurve-features --store layers --by ann

    Parameters
    ----------
    layer
        A layer's name in --store, its directory, or a folder with labels.
    by
        The pseudonym whose label it is.
    store
        The folder or URL where layers lie.
    json
        Print the label that was taken back as JSON, for programs.
    """
    labels, _ = _opened(layer, store)
    undone = labels.undo(by)
    if undone is None:
        sys.stderr.write(f"{by} has no label here to take back\n")
        return FAILED
    (row,) = _rows([undone])
    if json:
        show_json(row)
    else:
        show_text("taken back:")
        show_record({name: row[name] for name in _SHOWN}, thousands=False)
    return DONE


@app.command
def export(
    layer: str, output: Path, /, *, store: str | None = None, anonymous: Flag = False, overwrite: Flag = False
) -> int:
    """Write every record to a file: .jsonl, .parquet, .csv, .ecsv, .vot or .fits.

    For example:
        skyloom label export lightcurve-features labels.parquet --store layers
        skyloom label export layers/lightcurve-features labels.jsonl --anonymous

    Parameters
    ----------
    layer
        A layer's name in --store, its directory, or a folder with labels.
    output
        The file; its ending says the format.
    store
        The folder or URL where layers lie.
    anonymous
        Write person-1, person-2, … for pseudonyms, and no comments.
    overwrite
        Replace the file if it exists.
    """
    from skyloom.active.exporting import export_labels

    labels, _ = _opened(layer, store)
    records = labels.history()
    export_labels(records, output, anonymous=anonymous, overwrite=overwrite)
    sys.stderr.write(f"wrote {len(records):,} records to {output}\n")
    return DONE


@app.command(name="import")
def import_(
    layer: str,
    table: Path,
    /,
    *,
    by: str,
    id_column: str = "object_id",
    label_column: str = "label",
    comment: str = "",
    store: str | None = None,
    unchecked: Flag = False,
) -> int:
    """Record the labels of a table, such as a spectroscopic sample or a vetted list.

    What this person has said of an object already, with the same label, is not said again: an import that was
    cut short goes on when it is run again.

    For example:
        skyloom label import lightcurve-features spectra.parquet --store layers --by spectrograph-a \
            --id-column snid --label-column sim_type

    Parameters
    ----------
    layer
        A layer's name in --store, its directory, or any folder to keep labels in.
    table
        A .parquet or .csv file.
    by
        The pseudonym whose labels they are, such as a survey's name.
    id_column
        The column of object ids.
    label_column
        The column of labels; a row without one is passed over.
    comment
        Anything worth remembering, such as where the table is from.
    store
        The folder or URL where layers lie.
    unchecked
        Do not look whether the layer has the objects: for layers too large to look.
    """
    from skyloom.active.importing import import_labels, read_labels
    from skyloom.active.reading import find_objects, typed_ids

    labels, opened = _opened(layer, store)
    said = read_labels(table, id_column=id_column, label_column=label_column)
    # A column of digits in a CSV file is read as integers, also where the layer's ids are texts.
    said = dict(zip(typed_ids(opened, [str(i) for i in said]), said.values(), strict=True))
    if opened is not None and not unchecked:
        find_objects(opened, list(said))
    added = import_labels(labels, said, by=by, comment=comment)
    sys.stderr.write(f"recorded {added:,} labels of {len(said):,} in {table}\n")
    return DONE


def _rows(records: list[Label]) -> list[dict[str, object]]:
    return [asdict(record) for record in records]


def _opened(layer: str, store: str | None) -> tuple[LabelStore, Layer | None]:
    """Return the labels, and the layer if there is a finished one."""
    from skyloom.active import LabelStore
    from skyloom.jobs import open_layer
    from skyloom.storage import open_store

    if store is not None:
        opened = open_layer(layer, store)
        return LabelStore.open(opened), opened
    labels = LabelStore.open(layer)
    is_layer = bool(open_store(layer).names("refs"))
    return labels, open_layer(layer) if is_layer else None
