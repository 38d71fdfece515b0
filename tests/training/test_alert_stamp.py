"""The training of alert-stamp: no network knows what it is scored on, and the card says what the run did."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from alert_tables import alerts
from skyloom.errors import DataError, SpecError
from skyloom.evaluation import evaluate
from skyloom.evaluation.alert_folds import alert_folds
from skyloom.evaluation.alerts import prepared_alerts
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp.network import build_network
from skyloom.models.card import unsaid
from skyloom.models.weights import read_bundle
from skyloom.training import train
from skyloom.training.alert_stamp import Recipe
from skyloom.training.alert_stamp_fit import Fitting, learning_rows, shared_out, turned, weighted_entropy

N = 60
TINY = Recipe(epochs=1)


def sky(**columns):
    """Alerts of 60 objects in two groups of files; the last object is seen a second time, in the other one."""
    said = {"objectId": [f"ZTF{min(k, N - 2):05d}" for k in range(N)], "ssdistnr": np.full(N, -999.0)}
    kind = ["RRLyr", "QSO", None]
    said["cdsxmatch"] = [kind[min(k, N - 2) % 3] for k in range(N)]
    said["ssdistnr"] = [1.0 if min(k, N - 2) % 3 == 2 else -999.0 for k in range(N)]
    return alerts(N, **(said | columns))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "alert-stamp" / "tiny"
    train("alert-stamp", folder, recipe=TINY, data=sky(), seed=3)
    return folder


def test_no_network_sees_an_object_that_it_is_scored_on(tmp_path, monkeypatch):
    seen = {}

    def watched(self, given, *, n_context, seed, stage):
        seen[stage] = set(given.objects)
        self.curves.clear()
        return build_network(n_context, seed=seed)

    monkeypatch.setattr(Fitting, "network", watched)
    train("alert-stamp", tmp_path / "out", recipe=TINY, data=sky())
    known = prepared_alerts(sky()).labelled()
    fold, _ = alert_folds(known)
    names = np.array(known.objects)
    assert len(seen) == 2 * alert_stamp.FOLDS + 2
    for k in range(alert_stamp.FOLDS):
        for stage in (f"fold-{k}", f"stamps-alone-{k}"):
            assert seen[stage] == set(names) - set(names[fold == k])
    for number, group in enumerate(sorted(set(known.group.tolist()))):
        assert seen[f"group-{number}"] == set(names) - set(names[known.group == group])


def test_the_epochs_are_judged_by_other_objects_than_those_learned_from():
    known = prepared_alerts(sky()).labelled()
    learns, names = learning_rows(known, TINY), np.array(known.objects)
    assert set(names[learns]) & set(names[~learns]) == set()
    assert 0.1 < (~learns).mean() < 0.3
    assert set(known.target[~learns].tolist()) == {0, 1, 2}


def test_the_card_says_what_the_card_of_a_network_must(bundle):
    card, _ = read_bundle(bundle)
    assert unsaid(card) == ()
    assert sum(card.priors.values()) == pytest.approx(1.0)
    assert card.training["simulated"] is False
    assert card.training["objects.star"] + card.training["objects.extragalactic"] == 40
    assert card.training["alerts.extragalactic"] == 21
    assert card.writes == tuple(column.name for column in alert_stamp.writes(alert_stamp.Config()))
    who = {score.who for score in card.scores}
    for part in ("out of fold", "stamps alone", "random forest", "class prior", "left out", "reported: ALeRCE"):
        assert any(part in name for name in who)


def test_the_stored_weights_give_the_scores_of_their_card_again(bundle):
    card, _ = read_bundle(bundle)
    again = evaluate("alert-stamp", "tiny", sky(), root=bundle.parents[1])
    assert again.n == N - 1
    assert [(s.metric, s.who) for s in again.scores] == [(s.metric, s.who) for s in card.scores]
    for one, other in zip(card.scores, again.scores, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5, nan_ok=True)


def test_other_alerts_than_those_of_the_training_are_refused_by_the_measure(bundle):
    for other in (sky().slice(0, N - 6), sky(candid=np.arange(N) + 1)):
        with pytest.raises(DataError, match="scores out of fold need the alerts of the training"):
            evaluate("alert-stamp", "tiny", other, root=bundle.parents[1])


def test_one_seed_gives_the_same_weights_twice(bundle, tmp_path):
    train("alert-stamp", tmp_path / "again", recipe=bundle / "card.toml", data=sky(), seed=3)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (bundle / "model.safetensors").read_bytes()


def test_a_class_with_fewer_objects_than_folds_and_a_recipe_of_nothing_are_refused(tmp_path):
    few = sky(ssdistnr=[1.0 if k in {2, 5, 8} else -999.0 for k in range(N)])
    with pytest.raises(SpecError, match="class 2 has 3 objects"):
        train("alert-stamp", tmp_path / "out", recipe=TINY, data=few)
    for settings in ({"judges": 1}, {"dropout": 1.0}):
        with pytest.raises(SpecError):
            Recipe(**settings)


def test_an_object_of_many_alerts_weighs_as_much_as_one_of_one():
    shared = shared_out(("a", "b", "b", "b"), np.array([0, 1, 1, 1]))
    assert shared.sum() == pytest.approx(4.0)
    assert shared[0].sum() == pytest.approx(shared[1:].sum())
    assert (shared.argmax(axis=1) == [0, 1, 1, 1]).all()


def test_equal_weights_make_the_loss_the_plain_cross_entropy():
    logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    target = torch.arange(8) % 3
    plain = torch.nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(weighted_entropy({"logits": logits}, torch.eye(3)[target]), plain)


def test_turning_moves_px_of_the_image_and_touches_nothing_else():
    rng = np.random.default_rng(0)
    arrays = {"image": rng.normal(size=(40, 3, 5, 5)).astype(np.float32), "alert": rng.normal(size=(40, 3))}
    before = arrays["image"].copy()
    made = turned(arrays, np.random.default_rng(1))
    assert np.array_equal(arrays["image"], before)
    assert made["alert"] is arrays["alert"]
    assert np.array_equal(np.sort(made["image"].reshape(40, -1)), np.sort(before.reshape(40, -1)))
    moved = (made["image"] != before).any(axis=(1, 2, 3))
    assert 0.6 < moved.mean() < 1.0
    assert np.array_equal(turned(arrays, np.random.default_rng(1))["image"], made["image"])


def test_the_recipe_of_the_card_is_the_recipe_of_the_run(bundle):
    card, _ = read_bundle(bundle)
    said = {
        name.removeprefix("recipe."): value for name, value in card.training.items() if name.startswith("recipe.")
    }
    assert said == dataclasses.asdict(TINY)
