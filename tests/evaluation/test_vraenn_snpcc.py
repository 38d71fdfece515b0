"""Reading SNPCC, and ranking its objects by encodings of its own common ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.evaluation.plasticc import FLUXCAL_NJY
from skyloom.evaluation.vraenn_snpcc import BANDS, main, ranked, snpcc_rows
from skyloom.models import vraenn
from skyloom.models.weights import load_weights
from skyloom.simulators.transients import BANDS as LSST
from skyloom.simulators.transients import KINDS, transients

TYPES = {"ia": "Ia", "ii": "II", "ibc": "Ibc", "iin": "IIn"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Simulated transients in the files of SNPCC."""
    top = tmp_path_factory.mktemp("data")
    drawn = transients(48, seed=8, share=dict.fromkeys(TYPES, 1.0))
    curves, ids = drawn.curves, np.arange(100, 148)
    seen = np.isin(np.array(LSST)[curves.band], BANDS)
    points = pa.table(
        {
            "snid": np.repeat(ids, np.diff(curves.offsets)),
            "mjd": curves.mjd,
            "band": pa.array(np.array(LSST)[curves.band]).dictionary_encode(),
            "fluxcal": (curves.flux / FLUXCAL_NJY).astype(np.float32),
            "fluxcalerr": (curves.flux_err / FLUXCAL_NJY).astype(np.float32),
        }
    ).filter(pa.array(seen))
    objects = pa.table(
        {
            "snid": ids,
            "sim_type": [TYPES[list(KINDS)[k]] for k in drawn.kind],
            "hostgal_photoz": drawn.redshift,
            "mwebv": drawn.mwebv,
        }
    )
    (top / "snpcc").mkdir()
    pq.write_table(points, top / "snpcc" / "lightcurves.parquet")
    pq.write_table(objects, top / "snpcc" / "objects.parquet")
    return top


def test_each_object_has_its_own_points_in_nanojansky(folder):
    rows = snpcc_rows(folder, every=5)
    assert rows["snid"].to_pylist() == list(range(100, 148, 5))
    points = pq.read_table(folder / "snpcc" / "lightcurves.parquet").to_pandas()
    for snid, lc in zip(rows["snid"].to_pylist(), rows["lc"].to_pylist(), strict=True):
        its = points[points.snid == snid].sort_values("mjd")
        np.testing.assert_allclose(lc["flux"], its.fluxcal * FLUXCAL_NJY, rtol=1e-6)
        assert lc["band"] == its.band.tolist()


def test_held_out_objects_are_ranked_with_the_shipped_network(folder):
    estimator = vraenn.build(vraenn.Config(), load_weights("vraenn")[1])
    score, kind = ranked(estimator, snpcc_rows(folder, every=1))
    assert 5 <= len(score) == len(kind) < 48
    assert (score > 0).all()
    assert "IIn" in kind


def test_missing_data_are_answered_with_where_they_were_looked_for(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "no SNPCC in" in capsys.readouterr().err
