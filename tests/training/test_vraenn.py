"""Training vraenn: on few simulated transients and in one epoch, but all of its parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import DataError, SpecError
from skyloom.evaluation import evaluate
from skyloom.evaluation.split import SEED, parts_of
from skyloom.evaluation.vraenn_sample import RARE
from skyloom.models import vraenn
from skyloom.models.vraenn.columns import CUTS_D
from skyloom.models.weights import read_bundle
from skyloom.runtime.contract import Weights
from skyloom.runtime.scoring import score
from skyloom.training import train
from skyloom.training.vraenn import Recipe
from tests.transient_tables import transient_table

TINY = Recipe(width=16, epochs=1, trees=10, points=32)


@pytest.fixture(scope="module")
def table():
    return transient_table(90)


@pytest.fixture(scope="module")
def root(table, tmp_path_factory):
    root = tmp_path_factory.mktemp("weights")
    train("vraenn", root / "vraenn" / "tiny", recipe=TINY, data=table, seed=3)
    return root


@pytest.fixture(scope="module")
def bundle(root):
    return read_bundle(root / "vraenn" / "tiny")


def scored(bundle, rows, config=None, batch_rows=64):
    config = config or vraenn.Config()
    estimator = vraenn.build(config, bundle[1])
    return score(vraenn, estimator, config, rows, layer="vraenn", batch_rows=batch_rows)[0]


def rows_of(table, n=None):
    names = ["lc", "hostgal_photoz", "mwebv"]
    part = table.slice(0, n)
    return pa.RecordBatch.from_arrays([part[name].combine_chunks() for name in names], names=names)


def test_the_card_says_what_was_read_held_out_and_measured(bundle, table):
    card, weights = bundle
    parts = parts_of(table["object_id"].to_numpy(), seed=SEED)
    common = ~np.isin(table["target"].to_numpy(), list(RARE))
    assert card.training["n_train"] <= int((parts.train & common).sum())
    assert 0 < card.training["n_held_out"] <= int(parts.held_out.sum())
    assert len(weights.arrays["reference"]) == card.training["n_reference"]
    who = {each.who for each in card.scores if each.metric == "AUC, rare against common"}
    assert any(name.startswith("ours") for name in who)
    assert any("hand-made features" in name for name in who)
    assert any(each.who.startswith("reported") for each in card.scores)


def test_scores_are_measured_again_from_the_stored_weights(root, bundle, table):
    again = evaluate("vraenn", "tiny", data=table, root=root)
    assert [(s.metric, s.who) for s in again.scores] == [(s.metric, s.who) for s in bundle[0].scores]
    np.testing.assert_allclose([s.value for s in again.scores], [s.value for s in bundle[0].scores], rtol=1e-6)


def test_rare_objects_change_no_weight(bundle, table, tmp_path):
    common = table.filter(pa.array(~np.isin(table["target"].to_numpy(), [15, 64])))
    assert common.num_rows < table.num_rows
    train("vraenn", tmp_path / "tiny", recipe=TINY, data=common, seed=3)
    first, second = bundle[1].arrays, read_bundle(tmp_path / "tiny")[1].arrays
    assert [name for name in first if not np.array_equal(first[name], second[name])] == []


def test_the_score_after_the_last_point_is_the_score(bundle, table):
    # Light curves that end within 100 days of their first detection have the score of that day.
    rows = rows_of(table, 30)
    out = scored(bundle, rows).to_pydict()
    checked = 0
    for i, lc in enumerate(rows.column("lc").to_pylist()):
        clear = [t for t, f, e in zip(lc["mjd"], lc["flux"], lc["flux_err"], strict=True) if f > 5 * e]
        if clear and lc["mjd"][-1] < min(clear) + CUTS_D[-1] and out["vr_score"][i] is not None:
            assert out[f"vr_score_t{CUTS_D[-1]}"][i] == out["vr_score"][i]
            checked += 1
    assert checked >= 3


def test_the_score_without_evolution_is_the_same(bundle, table):
    rows = rows_of(table, 12)
    whole, fast = scored(bundle, rows), scored(bundle, rows, vraenn.Config(evolution=False))
    assert [name for name in whole.schema.names if name not in fast.schema.names] == [
        f"vr_score_t{day}" for day in CUTS_D
    ]
    for name in fast.schema.names:
        assert fast.column(name).equals(whole.column(name)), name


def test_weights_that_do_not_fit_are_refused(bundle):
    with pytest.raises(SpecError, match="needs weights"):
        vraenn.build(vraenn.Config(), None)
    less = {name: array for name, array in bundle[1].arrays.items() if name != "reference"}
    with pytest.raises(DataError, match="reference is missing"):
        vraenn.build(vraenn.Config(), Weights(less, {}, ""))


def test_a_recipe_refuses_nonsense():
    with pytest.raises(SpecError, match="points at least 2"):
        Recipe(points=1)
