"""vraenn on another survey: SNPCC (simulated DES, griz), with the autoencoder of PLAsTiCC.

    python -m skyloom.evaluation.vraenn_snpcc --data DATA

The network is the shipped one; encodings are compared with those of SNPCC's own common objects, as users
of another survey would do it. Types IIn and IIL are the rare ones, and left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.spatial import KDTree

from skyloom.errors import ErrorKind, NotFoundError, SkyloomError
from skyloom.evaluation.plasticc import FLUXCAL_NJY
from skyloom.evaluation.scores import area_under_roc, bootstrap
from skyloom.evaluation.split import SEED, parts_of
from skyloom.models import vraenn
from skyloom.models.vraenn.rows import SEQUENCE
from skyloom.models.weights import load_weights

__all__ = ["BANDS", "RARE", "config_of", "main", "ranked", "snpcc_rows"]

BANDS = ("g", "r", "i", "z")
RARE = ("IIn", "IIL")
_EVERY = 5
"""One object in so many is looked at: 3,000 are enough for errors of 0.02."""


def snpcc_rows(folder: Path | None = None, *, every: int = _EVERY) -> pa.Table:
    """Return one row per object: ``snid``, ``sim_type``, ``hostgal_photoz``, ``mwebv`` and ``lc`` in nJy.

    Parameters
    ----------
    folder : path, optional
        That holds ``snpcc/``; default ``$SKYLOOM_DATA``.
    every : int
        One object in so many, by place among the sorted ids.

    Raises
    ------
    NotFoundError
        If the files are not there.
    """
    top = Path(folder or os.environ.get("SKYLOOM_DATA", ".")) / "snpcc"
    if not (top / "lightcurves.parquet").is_file() or not (top / "objects.parquet").is_file():
        msg = f"no SNPCC in {top}: looked for lightcurves.parquet and objects.parquet; name the folder above it"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, folder=str(top))
    objects = pq.read_table(top / "objects.parquet", columns=["snid", "sim_type", "hostgal_photoz", "mwebv"])
    objects = objects.sort_by("snid").take(pa.array(np.arange(0, objects.num_rows, every)))
    points = pq.read_table(top / "lightcurves.parquet").sort_by([("snid", "ascending"), ("mjd", "ascending")])
    ids, wanted = points["snid"].to_numpy(), objects["snid"].to_numpy()
    points = points.filter(pa.array(np.isin(ids, wanted)))
    ids = points["snid"].to_numpy()
    offsets = pa.array(np.concatenate(([0], np.searchsorted(ids, wanted, side="right"))), pa.int32())
    fields = {
        "mjd": pa.array(points["mjd"].to_numpy()),
        "flux": pa.array((points["fluxcal"].to_numpy() * FLUXCAL_NJY).astype(np.float32)),
        "flux_err": pa.array((points["fluxcalerr"].to_numpy() * FLUXCAL_NJY).astype(np.float32)),
        "band": points["band"].combine_chunks(),
    }
    lists = [pa.ListArray.from_arrays(offsets, values) for values in fields.values()]
    return objects.append_column("lc", pa.StructArray.from_arrays(lists, names=list(fields)))


def config_of() -> vraenn.Config:
    """Return the settings for DES passbands, whole light curves alone."""
    lsst = vraenn.Config()
    nm = tuple(lsst.wavelength_nm[lsst.bands.index(band)] for band in BANDS)
    return vraenn.Config(bands=BANDS, wavelength_nm=nm, evolution=False)


def ranked(estimator: vraenn.Estimator, rows: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Return scores and types of the held-out objects that can be scored, by this survey's own common ones."""
    names = ["lc", "hostgal_photoz", "mwebv"]
    batch = pa.RecordBatch.from_arrays([rows[name].combine_chunks() for name in names], names=names)
    made = vraenn.inputs(config_of(), batch)
    kind = np.array(rows["sim_type"].to_pylist())[made.scorable]
    parts = parts_of(rows["snid"].to_numpy()[made.scorable], seed=SEED)
    flat = {name: made.arrays[name][:, -1] for name in SEQUENCE}
    mean = vraenn.encode(estimator.network, flat).mean
    shown = ~parts.held_out & ~np.isin(kind, RARE)
    z = vraenn.standardised(
        mean, mean[shown].mean(axis=0, dtype=np.float64), mean[shown].std(axis=0, dtype=np.float64)
    )
    return vraenn.distances(KDTree(z[shown]), z[parts.held_out]), kind[parts.held_out]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the scores; return 0, or 2 where the data are missing."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.evaluation.vraenn_snpcc", description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="folder above snpcc/ (default $SKYLOOM_DATA)")
    options = parser.parse_args(argv)
    try:
        rows = snpcc_rows(options.data)
    except SkyloomError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    score, kind = ranked(vraenn.build(vraenn.Config(), load_weights(vraenn.NAME)[1]), rows)
    lines = [f"SNPCC (simulated): {rows.num_rows} objects, {len(kind)} of them held out and scored"]
    common = ~np.isin(kind, RARE)
    for label in (*RARE, "both"):
        one = ~common if label == "both" else kind == label
        pair = (score[one | common], one[one | common])
        auc, spread = area_under_roc(*pair), bootstrap(area_under_roc, *pair)
        lines.append(f"AUC, {label:4s} against common: {auc:.3f} +- {spread:.3f} ({int(one.sum())} objects)")
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
