"""How flares are scored: which events are flares, what the finder may do, and the card's scores again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skyloom.evaluation import evaluate
from skyloom.evaluation.flare_events import Tally, best_at_precision, is_flare, matched, tally_of
from skyloom.evaluation.flare_outliers import outlier_events
from skyloom.evaluation.flare_sample import labels_of, stars_of
from skyloom.evaluation.flares_simulated import average_precision
from skyloom.models.weights import load_weights


def test_an_event_holds_a_peak_that_lies_in_it_or_three_cadences_away():
    hit = matched(np.array([10, 40]), np.array([20, 40]), np.array([7, 6, 15, 23, 44]))
    assert_array_equal(hit, [[True, False, True, True, False], [False] * 5])


def tally(right, found, recalled, listed):
    return tally_of([(right, found, recalled, listed)])


def test_the_finder_gets_its_best_setting_among_those_that_are_as_precise():
    loose, equal, strict = tally(5, 20, 9, 10), tally(8, 10, 6, 10), tally(9, 10, 3, 10)
    best = best_at_precision([loose, equal, strict], 0.8)
    assert isinstance(best, Tally)
    assert best.recall == 0.6
    assert best_at_precision([loose], 0.8) is None
    assert np.isnan(tally(0, 0, 0, 0).precision)


@pytest.fixture(scope="module")
def stars():
    return stars_of(range(8), seed=3, days=6.0)


def test_events_that_are_the_true_flares_are_all_right_and_recall_everything(stars):
    for star in stars:
        clear = star.peaks[star.clear]
        outcome = is_flare(star, clear, clear)
        assert (outcome.flaring == 1).all()
        assert outcome.recalled.all()


def test_an_event_in_the_quiet_is_wrong(stars):
    star = stars[0]
    quiet = np.flatnonzero(labels_of(star) == 0)[:1]
    far = quiet[np.abs(quiet[:, None] - star.peaks).min(axis=1, initial=9999) > 5]
    assert (is_flare(star, far, far).flaring == 0).all()


def test_a_higher_threshold_finds_no_more_outliers(stars):
    for star in stars:
        for least in (1, 3):
            found = [len(outlier_events(star.curve, sigmas, least=least)[0]) for sigmas in (3.0, 5.0, 8.0, 30.0)]
            cadences = [int((np.sinh(star.curve.channels[0]) >= s).sum()) for s in (3.0, 5.0, 8.0, 30.0)]
            assert cadences == sorted(cadences, reverse=True)
            assert all(n <= c for n, c in zip(found, cadences, strict=True))


def test_average_precision_is_one_where_all_is_in_order_and_not_defined_where_nothing_happened():
    assert average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, True, False])) == 1.0
    assert np.isnan(average_precision(np.array([0.9]), np.array([False])))


@pytest.fixture(scope="module")
def measured(skyloom_data):
    return evaluate("flares", data=skyloom_data)


def value_of(measured, metric, who):
    (found,) = [s for s in measured.scores if s.metric == metric and s.who.startswith(who)]
    return found.value


@pytest.mark.slow
@pytest.mark.survey_data
def test_scores_of_the_card_are_measured_again(measured):
    card, _ = load_weights("flares")
    assert [(s.metric, s.who) for s in measured.scores] == [(s.metric, s.who) for s in card.scores]
    for again, stored in zip(measured.scores, card.scores, strict=True):
        assert again.value == pytest.approx(stored.value, rel=0.05, abs=0.02, nan_ok=True)


@pytest.mark.survey_data
def test_the_predictions_of_stellas_team_have_the_average_precision_that_is_known(skyloom_data):
    import pyarrow.parquet as pq

    table = pq.read_table(skyloom_data / "flares" / "stella_ensemble_predtest.parquet")
    ap = average_precision(table["pred_mean"].to_numpy(), table["gt"].to_numpy() == 1)
    assert ap == pytest.approx(0.9923, abs=5e-4)


def test_the_card_reaches_what_was_asked_and_recalls_more_real_flares_than_outliers_do():
    card, _ = load_weights("flares")

    def of(metric, who):
        (found,) = [s.value for s in card.scores if s.metric == metric and s.who.startswith(who)]
        return found

    windows = "average precision, windows"
    assert of(windows, "ours (simulated)") >= 0.97 > of(windows, "baseline: height in sigmas (simulated)")
    assert of("precision, windows at recall 0.9", "ours (simulated)") >= 0.95
    assert of("calibration error, events", "ours (simulated)") < 0.03
    faint = "recall, flares of 2 to 4 sigma"
    assert of(faint, "ours (simulated)") > of(faint, "baseline: 3 cadences above 3 sigma (simulated)")
    recall = "recall, Günther flares above 3 sigma"
    assert of(recall, "ours (real)") > of(recall, "baseline: outliers, its best at our precision (real)")
    clear = "recall, clear flares"
    assert of(clear, "ours (simulated)") > of(clear, "baseline: outliers, its best at our precision (simulated)")
