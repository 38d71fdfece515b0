"""The whole recipe in miniature, on simulated two-lobe sources laid out as the published files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import NotFoundError, SpecError
from skyloom.evaluation import evaluate
from skyloom.models import radio_galaxy
from skyloom.models.weights import read_bundle
from skyloom.training import train
from skyloom.training.radio_galaxy import Recipe
from two_lobes import write_published

TINY = Recipe(form="plain", epochs=2, transfer_epochs=1, batch_rows=20)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("data"), n=60)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, published):
    folder = tmp_path_factory.mktemp("weights") / "radio-galaxy" / "tiny"
    train("radio-galaxy", folder, recipe=TINY, data=published, seed=3)
    return folder


def test_the_card_has_the_run_the_split_and_every_baseline(bundle):
    card, _ = read_bundle(bundle)
    assert (card.name, card.variant) == ("radio-galaxy", "tiny")
    assert card.training["seed"] == 3
    assert card.training["recipe.epochs"] == 2
    assert {card.training[f"epochs.member-{k}"] for k in range(5)} == {2}
    assert card.training["n_train"] + card.training["n_calibration"] + card.training["n_held_out"] == 60
    assert card.writes == tuple(column.name for column in radio_galaxy.writes(radio_galaxy.Config()))
    assert "--config card.toml --seed 3 --device cpu --data DATA" in card.command
    who = {score.who for score in card.scores}
    for part in ("ours, plain", "forest", "class prior", "reported, recalled", "trained on NVSS"):
        assert any(part in name for name in who)


def test_the_members_differ_and_so_do_the_networks_of_transfer(bundle):
    arrays = read_bundle(bundle)[1].arrays
    heads = [arrays[f"net.members.{k}.head.weight"] for k in range(radio_galaxy.MEMBERS)]
    assert len({head.tobytes() for head in heads}) == radio_galaxy.MEMBERS
    others = [arrays[f"frdeep.{name}.head.weight"] for name in ("first", "nvss", "first-nvss")]
    assert len({head.tobytes() for head in others}) == 3
    assert {head.dtype for head in others} == {np.dtype("float16")}


def test_the_scores_of_the_card_are_measured_again_beside_the_twin(bundle, published):
    card, _ = read_bundle(bundle)
    again = evaluate("radio-galaxy", "tiny", published, root=bundle.parents[1])
    found = {(s.metric, s.who): s.value for s in again.scores}
    for score in card.scores:
        assert found[score.metric, score.who] == pytest.approx(score.value, abs=1e-6, nan_ok=True)
    beside = [s for s in again.scores if s.who.startswith("ours, equivariant")]
    assert {s.metric for s in beside} == {s.metric for s in card.scores if s.who.startswith("ours")}
    (turned,) = (s.value for s in beside if s.metric == "largest change of fr_p2, 8 symmetries")
    assert turned <= 1e-5


class Lost(Exception):
    """Stands for a lost machine."""


def test_a_training_that_stopped_goes_on_to_the_same_weights(bundle, published, tmp_path):
    def stop(tick):
        if tick.stage == "member-2" and tick.epoch:
            raise Lost

    again = tmp_path / "tiny"
    with pytest.raises(Lost):
        train("radio-galaxy", again, recipe=bundle / "card.toml", data=published, seed=3, progress=stop)
    train("radio-galaxy", again, recipe=bundle / "card.toml", data=published, seed=3, resume=True)
    assert (again / "model.safetensors").read_bytes() == (bundle / "model.safetensors").read_bytes()


def test_what_is_no_folder_of_the_published_files_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="fmporter/MiraBest"):
        train("radio-galaxy", tmp_path / "out", data=tmp_path, recipe=TINY)
    with pytest.raises(SpecError, match="published files"):
        train("radio-galaxy", tmp_path / "out", data=pa.table({"x": [1]}), recipe=TINY)
    with pytest.raises(SpecError, match="published files"):
        evaluate("radio-galaxy", "plain", pa.table({"x": [1]}))


def test_a_recipe_of_nothing_is_refused():
    for settings in ({"form": "round"}, {"epochs": 0}, {"transfer_epochs": 0}, {"learning_rate": -1.0}):
        with pytest.raises(SpecError):
            Recipe(**settings)
