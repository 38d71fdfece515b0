"""Training runs on made-up rows: reproducible, complete, honest."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import NotFoundError, SpecError
from skyloom.evaluation.examples import example_rows
from skyloom.evaluation.run import evaluate
from skyloom.models import registry
from skyloom.models.transient_class import CLASSES
from skyloom.models.weights import read_bundle
from skyloom.training import rebuild, train, transient_anomaly, transient_class

N = 1400
SIZE = {"transient-class": {"rounds": 4, "members": 1}, "transient-anomaly": {"trees": 10}}


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
    cards = {
        "transient-class": transient_class.train(
            table, root / "transient-class" / "toy", variant="toy", **SIZE["transient-class"]
        ),
        "transient-anomaly": transient_anomaly.train(
            table, root / "transient-anomaly" / "toy", variant="toy", **SIZE["transient-anomaly"]
        ),
    }
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
def test_training_twice_gives_the_same_bytes(trained, table, tmp_path, name):
    module = {"transient-class": transient_class, "transient-anomaly": transient_anomaly}[name]
    module.train(table, tmp_path, variant="toy", **SIZE[name])
    for file in ("card.toml", "model.safetensors"):
        assert (tmp_path / file).read_bytes() == (trained[0] / name / "toy" / file).read_bytes()


def test_the_card_names_data_split_and_seed(trained):
    for card in trained[1].values():
        assert {"data", "split", "split_seed", "seed", "n_train", "n_held_out"} <= set(card.training)
        assert card.limits
        assert any(s.who.startswith("baseline") for s in card.scores)


def test_what_learns_nothing_cannot_be_trained(tmp_path):
    with pytest.raises(SpecError, match="learns nothing"):
        train("lightcurve-features", None, tmp_path)
    with pytest.raises(SpecError, match="there is no model"):
        train("transient-clas", None, tmp_path)


def test_missing_data_are_explained(tmp_path, capsys):
    with pytest.raises(NotFoundError, match="snmachine"):
        train("transient-class", tmp_path, tmp_path)
    assert rebuild.main(["--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "snmachine" in capsys.readouterr().out
