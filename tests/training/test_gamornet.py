"""The whole recipe in miniature: what comes out is complete, repeatable, and scored by the run."""

import math

import numpy as np
import pytest

pytest.importorskip("galsim")

from skyloom.errors import SpecError
from skyloom.evaluation import evaluate
from skyloom.evaluation import gamornet as measured
from skyloom.models import gamornet
from skyloom.models.card import unsaid
from skyloom.models.weights import read_bundle
from skyloom.training import train as train_by_name
from skyloom.training.gamornet import Recipe, train
from skyloom.training.recard import recard

TINY = Recipe(
    n_simulated=60,
    n_labels=60,
    n_calibration=60,
    n_held_out=60,
    epochs=1,
    transfer_epochs=1,
    scratch_epochs=1,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "gamornet" / "tiny"
    train(folder, seed=3, variant="tiny", recipe=TINY)
    return folder


def test_the_stored_weights_give_the_scores_of_their_card_again(bundle):
    card, weights = read_bundle(bundle)
    estimator = gamornet.build(gamornet.Config(), weights)
    again = measured.evaluate(estimator, weights, card.training, variant="tiny")
    assert again.n == 60
    for one, other in zip(card.scores, again.scores, strict=True):
        assert (one.metric, one.who) == (other.metric, other.who)
        assert one.value == pytest.approx(other.value, nan_ok=True)


def test_the_weights_are_evaluated_by_name(bundle):
    card, _ = read_bundle(bundle)
    table = evaluate("gamornet", "tiny", root=bundle.parents[1])
    assert [score.metric for score in table.scores] == [score.metric for score in card.scores]
    assert "SIMULATED" in table.note


def test_a_folder_of_data_is_refused_because_the_galaxies_are_simulated(tmp_path):
    with pytest.raises(SpecError, match="simulates"):
        train_by_name("gamornet", tmp_path, tmp_path / "out")


def test_the_card_compares_with_every_baseline_and_says_simulated(bundle):
    card, _ = read_bundle(bundle)
    who = {score.who for score in card.scores}
    for part in ("from scratch", "simulation only", "random forest", "class prior"):
        assert any(name.startswith("baseline") and part in name for name in who)
    assert all("simulated" in name for name in who if name.startswith("ours"))
    assert card.training["simulated"] is True
    assert all(math.isnan(s.value) or 0 <= s.value <= 1 for s in card.scores if s.metric != "log-loss")
    assert card.writes == tuple(column.name for column in gamornet.writes(gamornet.Config()))


def test_the_members_share_the_frozen_layers_of_the_simulation_and_nothing_else(bundle):
    _, weights = read_bundle(bundle)
    for number in range(5):
        name = f"convolutions.{number}.inner.weight"
        same = [
            np.array_equal(weights.arrays[f"net.{k}.{name}"], weights.arrays[f"baseline.simulation.{name}"])
            for k in range(gamornet.MEMBERS)
        ]
        assert same == [number < 3] * gamornet.MEMBERS


def test_one_seed_gives_the_same_weights_twice(bundle, tmp_path):
    train(tmp_path / "again", seed=3, variant="tiny", recipe=TINY)
    first, second = (read_bundle(folder)[1].arrays for folder in (bundle, tmp_path / "again"))
    assert [name for name in first if not np.array_equal(first[name], second[name])] == []


def test_the_card_is_made_again_from_the_weights_alone(bundle):
    text = (bundle / "card.toml").read_bytes()
    assert recard("gamornet", str(bundle)).variant == "tiny"
    assert (bundle / "card.toml").read_bytes() == text


def test_the_card_says_what_the_card_of_a_network_must(bundle):
    card, _ = read_bundle(bundle)
    assert unsaid(card) == ()
    assert sum(card.priors.values()) == pytest.approx(1.0)
    assert {each.by for each in card.subgroups} == {"AB magnitude", "half-light radius of the bulge", "neighbours"}


def test_a_card_that_training_alone_writes_is_not_made_again():
    with pytest.raises(SpecError, match="training alone"):
        recard("transient-class")


def test_a_recipe_of_nothing_is_refused():
    for settings in ({"n_labels": 3}, {"transfer": "other"}, {"form": "huge"}):
        with pytest.raises(SpecError):
            Recipe(**settings)
