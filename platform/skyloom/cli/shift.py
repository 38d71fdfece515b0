"""`skyloom layer shift`: where on the sky a layer's columns are not as elsewhere, or not as in training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyloom.cli.output import DONE, show_json, show_table, show_title

__all__ = ["shift"]

_SHOWN = 20
Flag = Annotated[bool, Parameter(negative=())]


def shift(
    layer: str,
    /,
    *,
    store: str,
    output: Path,
    columns: str = "",
    reference: str | None = None,
    order: int = 3,
    rows: int = 256,
    version: int | None = None,
    seed: int = 0,
    json: Flag = False,
) -> int:
    """Measure the shift of each partition and sky cell of a layer, and write a Parquet table of it.

    Rows of a partition or cell are compared with a training set (--reference) or with the rows
    of the layer that lie elsewhere. Memory is bounded by the number of cells.

    For example:
        skyloom layer shift lightcurve-features --store layers --output shift.parquet --columns lcf_std_b,lcf_std_r

    Parameters
    ----------
    layer
        The layer's name.
    store
        The folder or URL where layers lie.
    output
        The Parquet file to write.
    columns
        Columns of the layer to compare, joined by commas; all of floating numbers unless told.
    reference
        A Parquet file, or the path of a layer, with the rows to compare with; the rest of the layer unless told.
    order
        HEALPix order of the cells, 0 to 6.
    rows
        How many rows of each partition and cell are looked at.
    version
        The newest unless told.
    seed
        Of permutations and halves.
    json
        Print a JSON list, for programs.
    """
    import pyarrow.parquet as pq

    from skyloom.jobs import measure_shift

    names = [name.strip() for name in columns.split(",") if name.strip()]
    table = measure_shift(
        layer, store, columns=names, reference=reference, order=order, rows=rows, version=version, seed=seed
    )
    pq.write_table(table, output)
    lines = table.to_pylist()
    if json:
        show_json(lines)
        return DONE
    alarms = [line for line in lines if line["shift_alarm"]]
    shown = sorted(alarms, key=lambda line: -line["shift_auc"])[:_SHOWN]
    plain = ("kind", "order", "npix", "rows", "shift_mmd2", "shift_p", "shift_auc")
    show_table([{name: _short(line[name]) for name in plain} for line in shown], columns=plain)
    known = sum(line["shift_auc"] is not None for line in lines)
    show_title(
        f"{len(alarms)} of {known} partitions and cells with rows enough differ (shift_auc above 0.6): {output}"
    )
    return DONE


def _short(value: object) -> object:
    return f"{value:.3g}" if isinstance(value, float) else value
