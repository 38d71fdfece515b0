"""Real light curves of TESS and the flares that others list on them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.errors import NotFoundError
from skyloom.evaluation.flare_stars import BAD_QUALITY, MJD_OF_BTJD, listed_flares, tess_rows


@pytest.fixture
def folder(tmp_path):
    """Two stars that are seen at the same exposures, at barycentric times a minute apart, one of them twice."""
    place = tmp_path / "flares"
    place.mkdir()
    cadence = np.arange(100, 110)
    late = {7: 0.0, 9: 7e-4}
    quality = np.select([cadence == 103, cadence == 104], [8, 512], 0)
    parts = [
        pa.table({
            "tic": np.full(10, tic), "sector": pa.array(np.full(10, 1), pa.int16()), "cadenceno": cadence,
            "time_btjd": 1325.0 + cadence / 720.0 + late[tic], "flux": np.arange(10.0) + tic,
            "flux_err": np.ones(10), "quality": quality,
        })
        for tic in (7, 9, 9)
    ]  # fmt: skip
    pq.write_table(pa.concat_tables(parts), place / "tess_ucd_lightcurves.parquet")
    pq.write_table(
        pa.table({
            "TESS": [9, 50], "sector": [1, 2], "tpeak": [2_458_325.2, 2_458_360.0], "FWHM": [0.002, 0.01],
            "Ebol": [1e33, 1e34], "Teff": [3000, None], "Radius": [0.2, None],
        }),
        place / "gunther2020_tess_flares.parquet",
    )  # fmt: skip
    starts = [1325.0 + 105 / 720.0 + 7e-4, 1325.0 + 106 / 720.0, 1400.0]
    rows = [
        (105, starts[0], starts[0] + 0.01),
        (106, starts[1], starts[1] + 0.01),
        (107, starts[2], starts[2] + 0.01),
    ]
    first, *rest = [[0.0, r[0], 0, 0.0, 0.0, 0, 0, 0.0, r[1], r[2]] for r in rows]
    columns = {(f"Unnamed {k}" if k not in {1, 8, 9} else repr(first[k])): [r[k] for r in rest] for k in range(10)}
    pq.write_table(pa.table(columns), place / "tess_ucd_20200218_vetted_flares.parquet")
    return tmp_path


def test_a_cadence_that_is_there_twice_is_read_once_and_bad_quality_is_no_flux(folder):
    table = tess_rows(folder)
    assert table["lightcurve_id"].to_pylist() == [7001, 9001]
    for row in table["lc"].to_pylist():
        assert len(row["mjd"]) == 10
        assert row["flux"][3] is None
        assert row["flux"][4] is not None  # an outlier that may be a flare
        assert row["mjd"][0] == pytest.approx(1325.0 + 100 / 720.0 + MJD_OF_BTJD, abs=1e-3)
    assert table["teff"].to_pylist() == [None, 3000.0]
    assert BAD_QUALITY & 512 == 0


def test_barycentric_times_say_whose_a_vetted_flare_is(folder):
    gunther, vetted = listed_flares(folder)
    assert vetted.lightcurve_id.tolist() == [9001, 7001]
    assert gunther.of(9001).energy_erg.tolist() == [1e33]
    assert gunther.of(9001).peak_mjd[0] == pytest.approx(58_324.7)
    assert len(vetted.of(50_002).peak_mjd) == 0


def test_a_folder_without_light_curves_says_where_it_looked(tmp_path):
    with pytest.raises(NotFoundError, match="tess_ucd_lightcurves"):
        tess_rows(tmp_path)


@pytest.mark.survey_data
def test_most_vetted_flares_are_bright_where_they_are_said_to_be(skyloom_data):
    table = tess_rows(skyloom_data)
    _, vetted = listed_flares(skyloom_data)
    ids = table["lightcurve_id"].to_numpy()
    assert len(vetted.lightcurve_id) > 100
    brighter = []
    for k in range(0, len(vetted.lightcurve_id), 10):
        lc = table["lc"][int(np.flatnonzero(ids == vetted.lightcurve_id[k])[0])].as_py()
        mjd, flux = np.array(lc["mjd"]), np.array(lc["flux"], dtype=np.float64)
        inside = (mjd >= vetted.start_mjd[k] - 1e-4) & (mjd <= vetted.stop_mjd[k] + 1e-4)
        around = np.abs(mjd - vetted.peak_mjd[k]) < 0.2
        brighter.append(np.nanmax(flux[inside]) > np.nanmedian(flux[around]))
    assert np.mean(brighter) > 0.9
