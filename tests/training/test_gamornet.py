"""The whole recipe in miniature: what comes out is complete, repeatable, and scored by the run."""

import math

import numpy as np
import pytest

pytest.importorskip("galsim")

from skyloom.errors import SpecError
from skyloom.evaluation import evaluate
from skyloom.models import gamornet
from skyloom.models.card import unsaid
from skyloom.models.weights import read_bundle
from skyloom.training import train
from skyloom.training.checkpoint import CHECKPOINT
from skyloom.training.gamornet import Recipe
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
    train("gamornet", folder, recipe=TINY, seed=3)
    return folder


def test_the_stored_weights_give_the_scores_of_their_card_again(bundle):
    card, _ = read_bundle(bundle)
    again = evaluate("gamornet", "tiny", root=bundle.parents[1])
    assert again.n == 60
    assert "SIMULATED" in again.note
    for one, other in zip(card.scores, again.scores, strict=True):
        assert (one.metric, one.who) == (other.metric, other.who)
        assert one.value == pytest.approx(other.value, nan_ok=True)


def test_a_folder_of_data_is_refused_because_the_galaxies_are_simulated(tmp_path):
    with pytest.raises(SpecError, match="simulates"):
        train("gamornet", tmp_path / "out", data=tmp_path)
    with pytest.raises(SpecError, match="simulates"):
        evaluate("gamornet", data=tmp_path)


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


class Lost(Exception):
    """Stands for a lost machine."""


def test_a_training_that_stopped_goes_on_from_its_own_card_to_the_same_weights(bundle, tmp_path):
    # The recipe comes from the card that the first training wrote.
    def stop(tick):
        if tick.stage == "transfer-1" and tick.epoch:
            raise Lost

    again = tmp_path / "tiny"
    with pytest.raises(Lost):
        train("gamornet", again, recipe=bundle / "card.toml", seed=3, progress=stop)
    stages = []
    with pytest.raises(SpecError, match="--resume"):
        train("gamornet", again, recipe=bundle / "card.toml", seed=3)
    train(
        "gamornet",
        again,
        recipe=bundle / "card.toml",
        seed=3,
        resume=True,
        progress=lambda tick: tick.epoch and stages.append(tick.stage),
    )
    assert set(stages) == {"transfer-1", "transfer-2"}
    assert (again / "model.safetensors").read_bytes() == (bundle / "model.safetensors").read_bytes()
    assert read_bundle(again)[0].training["resumed"] is True
    assert not list(tmp_path.rglob(CHECKPOINT))


def test_the_run_writes_seed_recipe_device_epochs_and_times_into_the_card(bundle):
    card, _ = read_bundle(bundle)
    assert card.training["seed"] == 3
    assert card.training["device"] == "cpu"
    assert card.training["recipe.n_labels"] == 60
    assert {card.training[f"epochs.{stage}"] for stage in ("simulation", "scratch", "transfer-0")} == {1}
    assert card.training["wall_s"] > 0
    assert card.command == "skyloom model train gamornet --config card.toml --seed 3 --device cpu --output DIR"
    curves = sorted(path.parent.name for path in (bundle.parent / "tiny.training").rglob("curve.csv"))
    assert curves == ["scratch", "simulation", "transfer-0", "transfer-1", "transfer-2"]


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
