"""ZTF's alerts with their stamps as the arrays that a job would make of them, labelled from cross-matches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.evaluation.alert_labels import COLUMNS, UNLABELLED, group_of, labels_of
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp.stamps import BANDS, CUTOUT, SIDE_PX
from skyloom.runtime.tensors import tensor_column

__all__ = ["BASELINE", "HISTORY", "Alerts", "alert_rows", "alerts_of", "prepared_alerts", "read_alerts"]

BASELINE = ("sgscore1", "distpsnr1", "magpsf", "fwhm", "elong", "classtar", "distnr", "magnr", "positive")
"""What baselines see of an alert; ``positive`` is whether it is brighter than the template."""
HISTORY = ("ndethist", "ncovhist")
"""How often the place was seen and looked at before: tells a moving object at once."""

_READS = (*(column.name for column in alert_stamp.reads(alert_stamp.Config())),)
_NEEDS = dict.fromkeys(("candid", "jd", "isdiffpos", *COLUMNS, *_READS, *BASELINE[:-1], *HISTORY))
_STAMPS = tuple(f"stamp_{band}" for band in BANDS)


@dataclass(frozen=True, slots=True, eq=False)
class Alerts:
    """N scorable alerts."""

    image: NDArray[np.float32]
    """(N, 3, 45, 45), as `skyloom.models.alert_stamp.inputs` makes them."""
    alert: NDArray[np.float32]
    """(N, 3), likewise."""
    candid: NDArray[np.int64]
    jd: NDArray[np.float64]
    """Time of the alert, days."""
    objects: tuple[str, ...]
    target: NDArray[np.int64]
    """Place in `skyloom.models.alert_stamp.CLASSES`, or `UNLABELLED`."""
    group: NDArray[np.str_]
    """Group of files that each alert comes from."""
    drb: NDArray[np.float64]
    """braai's score; NaN where a packet has none."""
    features: NDArray[np.float64]
    """(N, 11): `BASELINE`, then `HISTORY`; missing ones as the packets have them, -999."""

    def take(self, rows: NDArray[np.bool_]) -> Alerts:
        """Return some of the alerts."""
        names = [name for name in Alerts.__dataclass_fields__ if name != "objects"]
        kept = tuple(name for name, keep in zip(self.objects, rows.tolist(), strict=True) if keep)
        return Alerts(objects=kept, **{name: getattr(self, name)[rows] for name in names})

    def labelled(self) -> Alerts:
        """Return those with a label."""
        return self.take(self.target != UNLABELLED)


def read_alerts(folder: str | Path | None = None) -> pa.Table:
    """Read ``alerts.parquet``: packets' columns, and ``stamp_science``, ``_template``, ``_difference`` as lists.

    Parameters
    ----------
    folder : path, optional
        The folder that holds the file, or has it in ``ztf_alerts/``; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If it is not there.
    DataError
        If columns are missing.
    """
    import pyarrow.parquet as pq

    top = Path(folder or os.environ.get("SKYLOOM_DATA", "."))
    places = [place / "alerts.parquet" for place in (top, top / "ztf_alerts")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        msg = (
            f"no {places[0]} and no {places[1]}: name the folder of ZTF's alerts, or set SKYLOOM_DATA. They are "
            "public packets from the test data of brokers (fink-science, fink-filters, kowalski, Ampel-ZTF, …)"
        )
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, folder=str(top))
    there = pq.read_schema(path).names
    missing = [name for name in (*_NEEDS, *_STAMPS) if name not in there]
    if missing:
        msg = f"{path} lacks {', '.join(missing)}: it is no table of ZTF's alert packets with stamps"
        raise DataError(msg, kind=ErrorKind.UNKNOWN_COLUMN, file=str(path))
    return pq.read_table(path, columns=[*_NEEDS, *_STAMPS])


def alert_rows(table: pa.Table) -> pa.RecordBatch:
    """Return alerts as the rows that a job gives the system: its columns, and the stamps as a tensor."""
    px = [table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False) for name in _STAMPS]
    stamps = np.stack([values.reshape(table.num_rows, SIDE_PX, SIDE_PX) for values in px], axis=1)
    coverage = np.isfinite(stamps).mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32)
    return pa.RecordBatch.from_arrays(
        [*(table[name].combine_chunks() for name in _READS), tensor_column(stamps), pa.array(coverage)],
        names=[*_READS, CUTOUT, f"{CUTOUT}_coverage"],
    )


def prepared_alerts(table: pa.Table) -> Alerts:
    """Prepare alerts as a job would; those that a job flags with nulls are left out.

    Parameters
    ----------
    table : pyarrow.Table
        As `read_alerts` gives it.
    """
    made = alert_stamp.inputs(alert_stamp.Config(), alert_rows(table))
    kept = table.filter(pa.array(made.scorable))
    positive = np.isin(kept["isdiffpos"].to_pylist(), ("t", "1")).astype(np.float64)
    numbers = [positive if name == "positive" else _floats(kept, name) for name in (*BASELINE, *HISTORY)]
    return Alerts(
        image=made.arrays["image"],
        alert=made.arrays["alert"],
        candid=kept["candid"].to_numpy().astype(np.int64),
        jd=_floats(kept, "jd"),
        objects=tuple(kept["objectId"].to_pylist()),
        target=labels_of(table)[made.scorable],
        group=group_of(kept["source"].to_pylist()),
        drb=_floats(kept, "drb"),
        features=np.nan_to_num(np.stack(numbers, axis=1), nan=-999.0),
    )


def alerts_of(data: pa.Table | str | Path | None) -> Alerts:
    """Return the prepared alerts of a table, or of the file in a folder, as `read_alerts` finds it."""
    return prepared_alerts(data if isinstance(data, pa.Table) else read_alerts(data))


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
