"""Training periodic-class: on few simulated stars and in one epoch, but all of its parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import SpecError
from skyloom.evaluation import evaluate
from skyloom.evaluation.contract import RULES, example_rows
from skyloom.models import periodic_class
from skyloom.models.weights import read_bundle
from skyloom.runtime.contract import Weights
from skyloom.runtime.scoring import score
from skyloom.training import train
from skyloom.training.periodic_class import Recipe
from tests.variable_tables import variable_table

TINY = Recipe(width=4, depth=2, bins=16, members=2, epochs=2, ensembles=1, rounds=5)


@pytest.fixture(scope="module")
def table():
    return variable_table()


@pytest.fixture(scope="module")
def root(table, tmp_path_factory):
    root = tmp_path_factory.mktemp("weights")
    train("periodic-class", root / "periodic-class" / "tiny", recipe=TINY, data=table, seed=3)
    return root


@pytest.fixture(scope="module")
def bundle(root):
    return read_bundle(root / "periodic-class" / "tiny")


def test_the_card_says_what_was_read_held_out_and_measured(bundle, table):
    card, weights = bundle
    held_out = int(np.sum(table["is_test"].to_numpy(zero_copy_only=False)))
    assert card.training["n_held_out"] == held_out
    assert card.training["simulated"] is False
    assert card.training["n_train"] + card.training["n_calibration"] + held_out == table.num_rows
    config = periodic_class.Config()
    assert card.writes == tuple(column.name for column in periodic_class.writes(config))
    who = {score.who for score in card.scores if score.metric == "balanced accuracy"}
    assert any(name.startswith("ours") for name in who)
    assert any("twin" in name for name in who)
    assert any("random forest" in name for name in who)
    assert any("class prior" in name for name in who)
    assert any(name.startswith("reported") for name in who)
    prior = [s for s in card.scores if s.who == "baseline: class prior" and s.metric == "balanced accuracy"]
    assert prior[0].value == 0.25
    assert weights.arrays["priors"].sum() == pytest.approx(1.0)


def test_no_network_of_ours_sees_a_turn(bundle):
    changed = {s.who: s.value for s in bundle[0].scores if s.metric == "classes that a turn changes"}
    assert changed["ours, one network (iTCN)"] == changed["ours, all networks (iTCN)"] == 0.0


def test_scores_are_measured_again_from_the_stored_weights(root, bundle, table):
    again = evaluate("periodic-class", "tiny", data=table, root=root)
    assert [(s.metric, s.who) for s in again.scores] == [(s.metric, s.who) for s in bundle[0].scores]
    np.testing.assert_allclose([s.value for s in again.scores], [s.value for s in bundle[0].scores], rtol=1e-6)


def test_one_seed_gives_the_same_weights_twice(bundle, table, tmp_path):
    train("periodic-class", tmp_path / "tiny", recipe=TINY, data=table, seed=3)
    first, second = bundle[1].arrays, read_bundle(tmp_path / "tiny")[1].arrays
    assert [name for name in first if not np.array_equal(first[name], second[name])] == []


def test_ours_and_its_twin_differ_and_so_do_members(bundle):
    arrays = bundle[1].arrays
    same = [name for name in arrays if name.startswith("net.members.") and name.endswith("head.weight")]
    assert len(same) == 2
    assert not np.array_equal(arrays[same[0]], arrays[same[1]])
    assert {name.removeprefix("net.") for name in arrays if name.startswith("net.")} == {
        name.removeprefix("baseline.twin.") for name in arrays if name.startswith("baseline.twin.")
    }


def test_trained_weights_keep_the_contract(bundle):
    config = periodic_class.Config(bins=16)
    estimator = periodic_class.build(config, bundle[1])
    rows = example_rows(periodic_class, config, 12)

    def scored(rows: pa.RecordBatch, batch_rows: int = 12) -> pa.RecordBatch:
        return score(periodic_class, estimator, config, rows, layer="contract", batch_rows=batch_rows)[0]

    from skyloom.columns import schema_of
    from skyloom.runtime.scoring import layer_columns

    declared = schema_of(layer_columns(periodic_class, config, layer="contract"))
    assert [rule for rule, holds in RULES.items() if not holds(scored, rows, declared)] == []
    out = scored(rows).to_pydict()
    assert sum(name is not None for name in out["vs_class"]) >= 8
    given = [i for i, name in enumerate(out["vs_class"]) if name is not None]
    for i in given:
        p = [out[f"vs_p_{c}"][i] for c in periodic_class.CLASSES]
        assert sum(p) == pytest.approx(1.0, abs=1e-5)
        assert periodic_class.CLASSES[int(np.argmax(p))] in out["vs_set"][i].split("|")
        assert 0.0 < out["vs_ood"][i] <= 1.0


def test_weights_that_do_not_fit_are_refused(bundle):
    weights = bundle[1]
    with pytest.raises(SpecError, match="16 bins"):
        periodic_class.build(periodic_class.Config(), weights)
    with pytest.raises(SpecError, match="needs weights"):
        periodic_class.build(periodic_class.Config(bins=16), None)
    from skyloom.errors import DataError

    with pytest.raises(DataError, match=r"extras\.centre has shape .* for 3 bands"):
        periodic_class.build(periodic_class.Config(bins=16, bands=("g", "r", "i")), weights)
    less = {name: array for name, array in weights.arrays.items() if name != "priors"}
    with pytest.raises(DataError, match="priors"):
        periodic_class.build(periodic_class.Config(bins=16), Weights(less, {}, ""))


def test_a_recipe_refuses_nonsense():
    with pytest.raises(SpecError, match="architecture"):
        Recipe(architecture="tcn")
