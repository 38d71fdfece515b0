"""Published variable stars as nested light curves, and how many of their periods come out again."""

from __future__ import annotations

import numpy as np
import pytest

from skyloom.errors import NotFoundError
from skyloom.evaluation.period_recovery import HOW, main, recovered, search
from skyloom.evaluation.variable_stars import EROS1_BANDS, STRIPE82_BANDS, eros1_rows, stripe82_rows


def test_what_was_found_is_said_by_its_ratio_to_the_truth():
    found = np.array([0.5, 0.5049, 0.506, 0.25, 1.0, 1.5, 0.5 / 3, 1 / 3, 1.0 / 4, 0.77, np.nan])
    how = recovered(found, np.full(len(found), 0.5))
    assert how.tolist() == [
        "period", "period", "other", "half", "double", "triple", "third",
        "daily alias", "half", "other", "none found",
    ]  # fmt: skip
    assert set(how) <= set(HOW)


@pytest.mark.parametrize("cycles", [-2, -1, 1, 2])
def test_aliases_by_whole_cycles_per_day_are_recognised(cycles):
    true = np.array([0.61])
    alias = 1 / np.abs(1 / true + cycles)
    assert recovered(alias, true).tolist() == ["daily alias"]


def test_data_that_are_not_there_are_asked_for(tmp_path):
    with pytest.raises(NotFoundError, match="eros1_variables"):
        eros1_rows(tmp_path)
    with pytest.raises(NotFoundError, match="SKYLOOM_DATA"):
        stripe82_rows(tmp_path)
    assert main(["--data", str(tmp_path)]) == 2


@pytest.mark.survey_data
def test_the_stars_of_eros_are_whole_and_in_order(skyloom_data):
    import pyarrow.parquet as pq

    table = eros1_rows(skyloom_data)
    points = pq.read_table(skyloom_data / "eros1_variables" / "lightcurves.parquet")
    lengths = [len(curve["mjd"]) for curve in table["lc"].to_pylist()]
    assert sum(lengths) == points.num_rows
    assert np.all(np.diff(table["object_id"].to_numpy()) > 0)
    assert set(table["kind"].to_pylist()) == {"EB", "CEP", "RRL", "MIRA"}
    # One star by hand.
    where = table["object_id"].to_pylist().index(135 * 100_000 + 9613)
    own = points.filter(np.array(points["object_id"].to_pylist()) == "135_9613").to_pandas().sort_values("time")
    np.testing.assert_allclose(table["lc"][where].as_py()["mjd"], own["time"])


@pytest.mark.survey_data
def test_nineteen_of_twenty_rr_lyrae_of_stripe_82_have_their_published_period(skyloom_data):
    table = stripe82_rows(skyloom_data)
    every = table.take(np.arange(0, table.num_rows, 8))
    how = recovered(search(every, STRIPE82_BANDS).period_d, every["period_d"].to_numpy())
    assert (how == "period").mean() > 0.88
    assert np.isin(how, ["period", "half", "double", "daily alias"]).mean() > 0.95


@pytest.mark.survey_data
def test_well_annotated_stars_of_eros_have_their_annotated_period(skyloom_data):
    table = eros1_rows(skyloom_data)
    good = table.filter(table["quality"].to_numpy() >= 2)
    every = good.take(np.arange(0, good.num_rows, 15))
    how = recovered(search(every, EROS1_BANDS).period_d, every["period_d"].to_numpy())
    assert (how == "period").mean() > 0.78
