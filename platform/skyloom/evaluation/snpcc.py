"""SNPCC's unblinded simulated supernovae as one table: features, metadata, type, spectroscopic sample.

The Supernova Photometric Classification Challenge (Kessler et al. 2010, ads:2010PASP..122.1415K)
simulated the Dark Energy Survey: griz light curves of 21,319 supernovae. 1,103 of them, the
brightest for their type, are its spectroscopic training sample: biased, as such samples are.
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
from skyloom.evaluation.plasticc import FLUXCAL_NJY
from skyloom.features.derived import METADATA
from skyloom.models import registry
from skyloom.runtime.scoring import score

__all__ = ["BANDS", "find_snpcc", "snpcc_of", "snpcc_rows", "snpcc_table"]

BANDS = ("g", "r", "i", "z")

_FILES = ("lightcurves.parquet", "objects.parquet")
_OBJECT_COLUMNS = ("snid", "sim_type", "spec_training", *METADATA)


def find_snpcc(folder: str | Path | None = None) -> tuple[Path, Path]:
    """Return the files of light curves and of objects.

    Parameters
    ----------
    folder : path, optional
        The folder that holds them, or has them in ``snpcc/``; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If they are not there; the message says what is looked for.
    """
    top = Path(folder or os.environ.get("SKYLOOM_DATA", "."))
    for place in (top / "snpcc", top):
        points, objects = (place / name for name in _FILES)
        if points.is_file() and objects.is_file() and "snid" in pq.read_schema(objects).names:
            return points, objects
    msg = (
        f"no SNPCC light curves in {top}: looked for {' and '.join(_FILES)} there and in snpcc/. Name the folder "
        "or set SKYLOOM_DATA; the challenge's unblinded release is SIMGEN_PUBLIC_DES"
    )
    raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, folder=str(top))


def snpcc_rows(folder: str | Path | None = None) -> pa.Table:
    """Return one row per object: ``object_id``, ``sim_type``, ``spec_training``, metadata, ``lc`` in nJy.

    Sorted by object and, within, by time. A missing host redshift (negative in the files) is null.

    Raises
    ------
    NotFoundError
        If the files are not there.
    DataError
        ROW_COUNT if the two files are not about the same objects.
    """
    points_file, objects_file = find_snpcc(folder)
    points = pq.read_table(points_file, columns=["snid", "mjd", "band", "fluxcal", "fluxcalerr"])
    points = points.sort_by([("snid", "ascending"), ("mjd", "ascending")])
    objects = pq.read_table(objects_file, columns=list(_OBJECT_COLUMNS)).sort_by("snid")
    ids, count = np.unique(points["snid"].to_numpy().astype(np.int64), return_counts=True)
    if not np.array_equal(ids, objects["snid"].to_numpy()):
        msg = f"{points_file} and {objects_file.name} are not about the same objects; get both again"
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, file=str(points_file))
    offsets = pa.array(np.concatenate(([0], np.cumsum(count))), type=pa.int32())
    fields = {
        "mjd": pa.array(points["mjd"].to_numpy().astype(np.float64)),
        "flux": _njy(points["fluxcal"]),
        "flux_err": _njy(points["fluxcalerr"]),
        "band": points["band"].cast(pa.string()).combine_chunks(),
    }
    lists = [pa.ListArray.from_arrays(offsets, values) for values in fields.values()]
    table = objects.rename_columns(["object_id", *_OBJECT_COLUMNS[1:]])
    for name in METADATA[:2]:
        known = pc.if_else(pc.greater_equal(table[name], 0), table[name], None)
        table = table.set_column(table.column_names.index(name), name, known)
    return table.append_column("lc", pa.StructArray.from_arrays(lists, names=list(fields)))


def snpcc_table(folder: str | Path | None = None) -> pa.Table:
    """Return one row per object: id, type, sample, metadata and the columns of `lightcurve-features`."""
    rows = snpcc_rows(folder)
    system = registry.system("lightcurve-features")
    config = system.Config(transient=True, bands=BANDS)
    batch = pa.RecordBatch.from_arrays([rows["lc"].combine_chunks()], names=["lc"])
    scored, _ = score(
        system, system.build(config, None), config, batch, layer="lightcurve-features", batch_rows=4096
    )
    table = rows.drop_columns("lc")
    for name, column in zip(scored.schema.names, scored.columns, strict=True):
        table = table.append_column(name, column)
    return table


def snpcc_of(data: pa.Table | str | Path | None) -> pa.Table:
    """Return the table that `snpcc_table` gives of a folder; a table as it is."""
    return data if isinstance(data, pa.Table) else snpcc_table(data)


def _njy(fluxcal: pa.ChunkedArray) -> NDArray[np.float32]:
    return np.asarray((fluxcal.to_numpy().astype(np.float64) * FLUXCAL_NJY).astype(np.float32))
