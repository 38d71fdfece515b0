"""Training runs on made-up rows: reproducible, complete, honest."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import NotFoundError, SpecError
from skyloom.evaluation import evaluate, measured
from skyloom.evaluation.examples import example_rows
from skyloom.models import registry
from skyloom.models.transient_class import CLASSES
from skyloom.models.weights import SHIPPED, load_weights, read_bundle, variants
from skyloom.training import learners, rebuild, train
from skyloom.training.recipes import read_recipe

N = 1400
SIZE = {"transient-class": {"rounds": 4, "members": 1}, "transient-anomaly": {"trees": 10}}


def sized(name):
    return learners.learner(name).Recipe(**SIZE[name])


@pytest.fixture(scope="module")
def table():
    """Fourteen classes that differ in their redshift and in the skewness in r."""
    system = registry.system("transient-class")
    target = np.arange(N) % len(CLASSES)
    rows = example_rows(system, system.Config(), N)
    for name, values in (
        ("hostgal_photoz", 0.1 + 0.1 * (target % 7)),
        ("lcf_skew_r", 10.0 * (target // 7)),
        *((f"lcf_n_obs_{band}", np.full(N, 30.0)) for band in "ugrizy"),
    ):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, pa.array(values.astype(np.float32)))
    whole = pa.Table.from_batches([rows])
    whole = whole.append_column("object_id", pa.array(np.arange(N)))
    return whole.append_column("target", pa.array(np.array(list(CLASSES))[target]))


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    root = tmp_path_factory.mktemp("weights")
    cards = {name: train(name, root / name / "toy", recipe=sized(name), data=table) for name in SIZE}
    return root, cards


@pytest.mark.parametrize("name", ["transient-class", "transient-anomaly"])
def test_a_bundle_gives_the_scores_of_its_card_again(trained, table, name):
    root, cards = trained
    card, _ = read_bundle(root / name / "toy")
    assert card.to_toml() == cards[name].to_toml()
    again = evaluate(name, "toy", table, root=root)
    assert [s.value for s in again.scores] == [s.value for s in card.scores]


def test_what_can_be_learnt_is_learnt(trained):
    scores = {(s.metric, s.who): s.value for s in trained[1]["transient-class"].scores}
    assert scores["balanced accuracy", "ours"] > 0.5
    assert scores["balanced accuracy", "baseline: class prior"] < 0.1


@pytest.mark.parametrize("name", ["transient-class", "transient-anomaly"])
def test_training_twice_gives_the_same_bytes_and_a_card_that_differs_in_times_alone(
    trained, table, tmp_path, name
):
    train(name, tmp_path / "toy", recipe=trained[0] / name / "toy" / "card.toml", data=table)
    first, again = trained[0] / name / "toy", tmp_path / "toy"
    assert (again / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    texts = [
        [line for line in (folder / "card.toml").read_text().splitlines() if '_s" =' not in line]
        for folder in (first, again)
    ]
    assert texts[0] == texts[1]


def test_the_card_names_data_split_and_seed(trained):
    for card in trained[1].values():
        assert {"data", "split", "split_seed", "seed", "n_train", "n_held_out", "wall_s"} <= set(card.training)
        assert card.limits
        assert any(s.who.startswith("baseline") for s in card.scores)


@pytest.mark.parametrize("name", learners.names())
def test_every_learner_has_a_recipe_with_defaults_and_a_measure(name):
    import dataclasses

    recipe = learners.learner(name).Recipe
    assert dataclasses.asdict(recipe())
    assert recipe.__dataclass_params__.frozen
    assert callable(measured.measure_of(name).measure)


def test_all_that_is_measured_learns_and_all_weights_that_are_shipped_can_be_made_again():
    assert measured.names() == learners.names()
    for name in learners.names():
        for variant in variants(name):
            card, _ = load_weights(name, variant)
            words = rebuild.words_of(card, card_file=Path("/c.toml"), data=None, output=Path("/out"))
            assert words[:4] == ["skyloom", "model", "train", name]
            assert words[words.index("--config") + 1] == "/c.toml"
            assert words[words.index("--output") + 1] == "/out"
            assert "DATA" not in words
            assert read_recipe(name, learners.learner(name).Recipe, SHIPPED / name / variant / "card.toml")


def test_what_learns_nothing_cannot_be_trained(tmp_path):
    with pytest.raises(SpecError, match="learns nothing"):
        train("lightcurve-features", tmp_path)
    with pytest.raises(SpecError, match="there is no model"):
        train("transient-clas", tmp_path)


def test_missing_data_are_explained(tmp_path):
    with pytest.raises(NotFoundError, match="snmachine"):
        train("transient-class", tmp_path / "out", data=tmp_path)


def test_weights_are_rebuilt_by_the_command_of_their_card_and_kept_if_that_fails(tmp_path, capfd):
    bundle = tmp_path / "root" / "transient-class" / "mine"
    shutil.copytree(SHIPPED / "transient-class" / "plasticc", bundle)
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    words = ["--root", str(tmp_path / "root"), "--only", "transient-class", "--data", str(tmp_path)]
    assert rebuild.main(words) == 2
    captured = capfd.readouterr()
    assert "skyloom model train transient-class" in captured.out
    assert "snmachine" in captured.err
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    card = (bundle / "card.toml").read_text()
    (bundle / "card.toml").write_text(card.replace("skyloom model train", "rm -r"))
    assert rebuild.main(words) == 2
    assert "expected a command" in capfd.readouterr().out
