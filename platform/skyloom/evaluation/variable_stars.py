"""Two published sets of variable stars as nested light curves: EROS-1 and the RR Lyrae of Stripe 82.

The folders are ``eros1_variables`` (EROS-1 survey of the Large Magellanic Cloud, RAMP kit
variable_stars) and ``sdss_s82_rrlyrae`` (Sesar et al. 2010, ads:2010ApJ...708..717S), each with
``lightcurves.parquet`` and a table of objects.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError

__all__ = ["EROS1_BANDS", "STRIPE82_BANDS", "eros1_rows", "stripe82_rows"]

EROS1_BANDS = ("b", "r")
STRIPE82_BANDS = ("u", "g", "r", "i", "z")
_MISSING_MAG = 90.0
"""Stripe 82 writes 100 for a magnitude that is not there."""


def eros1_rows(folder: str | Path | None = None) -> pa.Table:
    """Return the stars of EROS-1, one row each, sorted by id.

    Parameters
    ----------
    folder : path, optional
        The folder itself, or the one above it; default ``$SKYLOOM_DATA``.

    Returns
    -------
    pyarrow.Table
        ``object_id`` (int64: patch times 100,000 plus star), ``kind`` (EB, CEP, RRL or MIRA, by people),
        ``period_d`` (annotated by people with the class: no legal input), ``quality`` (of the
        annotation), ``is_test`` (as the kit splits the stars), and ``lc`` in magnitudes.

    Raises
    ------
    NotFoundError
        If the files are not there.
    DataError
        If objects and points are not of the same stars.
    """
    place = _find("eros1_variables", "objects.parquet", folder)
    objects = pq.read_table(place / "objects.parquet")
    points = pq.read_table(place / "lightcurves.parquet")
    number = objects["patch_id"].to_numpy().astype(np.int64) * 100_000 + objects["star_id_b"].to_numpy()
    known = dict(zip(objects["object_id"].to_pylist(), number.tolist(), strict=True))
    names = pc.unique(points["object_id"]).to_pylist()
    if set(names) != set(known):
        msg = f"{place}: light curves and objects are not of the same stars; get both again"
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, file=str(place))
    code = pc.index_in(points["object_id"], pa.array(list(known))).to_numpy()
    table = pa.table(
        {
            "object_id": number,
            "kind": objects["class_name"],
            "period_d": objects["true_period"],
            "quality": objects["quality"],
            "is_test": pc.equal(objects["split"], "test"),
        }
    )
    return _with_curves(table, number[code], points)


def stripe82_rows(folder: str | Path | None = None) -> pa.Table:
    """Return the 483 RR Lyrae of Stripe 82, one row each, sorted by id.

    Parameters
    ----------
    folder : path, optional
        The folder itself, or the one above it; default ``$SKYLOOM_DATA``.

    Returns
    -------
    pyarrow.Table
        ``object_id``, ``kind`` (ab or c), ``period_d`` (published), and ``lc`` in magnitudes; magnitudes
        that are not there are NaN.

    Raises
    ------
    NotFoundError
        If the files are not there.
    """
    name = "objects_sesar2010_table2.parquet"
    place = _find("sdss_s82_rrlyrae", name, folder)
    objects, points = pq.read_table(place / name), pq.read_table(place / "lightcurves.parquet")
    number = objects["Num"].to_numpy().astype(np.int64)
    table = pa.table({"object_id": number, "kind": objects["Type"], "period_d": objects["Per"]})
    return _with_curves(table, points["object_id"].to_numpy().astype(np.int64), points)


def _find(name: str, objects: str, folder: str | Path | None) -> Path:
    top = Path(folder or os.environ.get("SKYLOOM_DATA", "."))
    for place in (top, top / name):
        if (place / objects).is_file() and (place / "lightcurves.parquet").is_file():
            return place
    msg = (
        f"no {name} in {top}: looked for {objects} and lightcurves.parquet. Name their folder with --data, or set "
        "SKYLOOM_DATA to the folder that has it"
    )
    raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, folder=str(top))


def _with_curves(table: pa.Table, owner: NDArray[np.int64], points: pa.Table) -> pa.Table:
    """Sort objects by id and put the light curve of each beside it, in order of time."""
    table = table.sort_by("object_id")
    ids = table["object_id"].to_numpy()
    time = points["time"].to_numpy().astype(np.float64)
    order = np.lexsort((time, owner))
    order = order[np.isin(owner[order], ids)]
    offsets = pa.array(np.searchsorted(owner[order], np.append(ids, ids[-1] + 1)), type=pa.int32())
    mag = points["mag"].to_numpy().astype(np.float32)[order]
    fields = {
        "mjd": pa.array(time[order]),
        "flux": pa.array(np.where(mag > _MISSING_MAG, np.float32(np.nan), mag)),
        "flux_err": pa.array(points["magerr"].to_numpy().astype(np.float32)[order]),
        "band": points["band"].cast(pa.string()).combine_chunks().take(pa.array(order)),
    }
    lists = {name: pa.ListArray.from_arrays(offsets, values) for name, values in fields.items()}
    return table.append_column("lc", pa.StructArray.from_arrays(list(lists.values()), names=list(lists)))
