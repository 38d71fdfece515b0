"""The loops played with the truth: what the curves say, and that they compare like with like."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from skyloom.active.curves import main, play_anomaly, plot, summary, table_of
from skyloom.active.simulation import Curves, anomaly_curves, figure_of_merit, followup_curves
from skyloom.errors import SpecError


def sky(rows=600, rare=60, seed=0):
    """A crowd, odd objects of interest, and as many odd ones of none."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 4))
    features[:rare, 0] += 6
    features[rare : 2 * rare, 1] += 6
    return features, rng.permutation(rows), np.arange(rows) < rare


@pytest.fixture(scope="module")
def anomaly():
    return anomaly_curves(*sky(), seeds=3, labels=40, batch=10)


def test_curves_count_from_nothing_and_never_fall(anomaly):
    for runs in anomaly.values.values():
        assert runs.shape == (3, 41)
        assert (runs[:, 0] == 0).all()
        assert ((np.diff(runs) == 0) | (np.diff(runs) == 1)).all()


def test_labels_teach_which_oddness_is_of_interest(anomaly):
    final = {policy: runs[:, -1].mean() for policy, runs in anomaly.values.items()}
    assert final["aad"] > final["isolation"] > 2 * final["random"]


def test_until_the_first_labels_every_forest_shows_the_same(anomaly):
    for policy in ("aad", "pine"):
        np.testing.assert_array_equal(anomaly.values[policy][:, :11], anomaly.values["isolation"][:, :11])


def test_a_seed_plays_the_same_again_and_another_seed_another_game(anomaly):
    again = anomaly_curves(*sky(), seeds=3, labels=40, batch=10, policies=("aad", "random"))
    np.testing.assert_array_equal(again.values["aad"], anomaly.values["aad"])
    np.testing.assert_array_equal(again.values["random"], anomaly.values["random"])
    assert not np.array_equal(again.values["random"][0], again.values["random"][1])


def types(rows=900, seed=0):
    """Two overlapping classes; spectra so far only of the easy half of one and far ends."""
    rng = np.random.default_rng(seed)
    kind = np.where(rng.random(rows) < 0.5, "sn-ia", "other")
    features = rng.normal(size=(rows, 3)) + np.where(kind == "sn-ia", 1.5, 0.0)[:, None]
    easy = np.where(kind == "sn-ia", features[:, 0] > 3, features[:, 0] < -0.5)
    start = easy & (np.arange(rows) < 200)
    return features, np.arange(rows), kind, start, (np.arange(rows) >= 500)


def test_spectra_help_and_the_held_out_are_never_observed():
    features, ids, kind, start, held_out = types()
    accuracy, auc, merit = followup_curves(
        features,
        ids,
        kind,
        start=start,
        held_out=held_out,
        positive="sn-ia",
        seeds=2,
        nights=2,
        spectra=20,
        strategies=("uncertainty", "random"),
    )
    assert accuracy.labels.tolist() == [0, 20, 40]
    for curves in (accuracy, auc, merit):
        assert ((curves.values["random"] >= 0) & (curves.values["random"] <= 1)).all()
        np.testing.assert_array_equal(curves.values["random"][:, 0], curves.values["uncertainty"][:, 0])
    assert accuracy.values["uncertainty"][:, -1].mean() > accuracy.values["uncertainty"][:, 0].mean()


@pytest.mark.parametrize(("seeds", "labels"), [(1, 10), (2, 0), (2, 5000)])
def test_a_game_that_cannot_be_played_is_refused(seeds, labels):
    with pytest.raises(SpecError, match="possible here"):
        anomaly_curves(*sky(), seeds=seeds, labels=labels)


def test_the_figure_of_merit_is_one_for_the_truth_and_nothing_for_nothing():
    truth = np.array([True, True, False, False, False])
    assert figure_of_merit(truth, truth) == 1.0
    assert figure_of_merit(~truth, truth) == 0.0
    assert figure_of_merit(np.zeros(5, bool), truth) == 0.0
    assert figure_of_merit(np.ones(5, bool), truth) == pytest.approx(2 / (2 + 3 * 3))


def test_a_lead_and_a_ratio_are_over_paired_seeds():
    values = {"a": np.array([[0.0, 4.0], [0.0, 8.0]]), "b": np.array([[0.0, 2.0], [0.0, 4.0]])}
    curves = Curves("found", np.array([0, 1]), values)
    assert curves.lead("a", "b") == (3.0, 1.0)
    assert curves.ratio("a", "b") == (2.0, 0.0)


def test_table_and_plot_hold_every_curve(anomaly, tmp_path):
    table = table_of([anomaly])
    assert table.num_rows == sum(runs.size for runs in anomaly.values.values())
    last = table.filter((table["labels"].to_numpy() == 40) & (np.array(table["policy"].to_pylist()) == "aad"))
    assert last["value"].to_pylist() == anomaly.values["aad"][:, -1].tolist()
    pytest.importorskip("matplotlib")
    plot([anomaly], tmp_path / "curves.png", title="test")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_summary_states_every_policy_with_its_error(anomaly):
    text = summary([anomaly])
    assert "over 3 seeds" in text
    for policy in anomaly.values:
        assert f"\n{policy}" in text
    assert "aad against random at the end: +" in text
    assert "isolation against isolation" not in text


def test_data_that_are_not_there_are_a_wrong_request(tmp_path, capsys):
    assert main(["anomaly", "--data", str(tmp_path)]) == 2
    assert main(["followup", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("no-such-file") == 2


@pytest.mark.survey_data
def test_of_plasticcs_rare_classes_the_loop_shows_twice_what_chance_does(skyloom_data, tmp_path):
    (curves,) = play_anomaly(skyloom_data, seeds=2, labels=60, batch=10)
    pq.write_table(table_of([curves]), tmp_path / "curves.parquet")
    final = {policy: runs[:, -1].mean() for policy, runs in curves.values.items()}
    assert final["aad"] >= 2 * final["random"]
    assert final["aad"] >= final["isolation"]
