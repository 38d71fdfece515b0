"""survey-shift from a table of rows to columns: trained small, on rows made up here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skyloom.errors import DataError, SpecError
from skyloom.evaluation.run import evaluate
from skyloom.evaluation.survey_shift import macro_f1
from skyloom.models import survey_shift
from skyloom.models.survey_shift import Config
from skyloom.models.weights import read_bundle
from skyloom.runtime.contract import Weights
from skyloom.training import train
from skyloom.training.survey_shift import Recipe
from tests.shifted_tables import shifted_table


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "survey-shift" / "tiny"
    recipe = Recipe(rounds=10, members=2, steps=4, simulated_rows=0)
    card = train("survey-shift", folder, data=shifted_table(), recipe=recipe)
    return folder, card


def rows_of(table):
    names = Config().columns
    return pa.RecordBatch.from_arrays([table[name].combine_chunks() for name in names], names=list(names))


def predicted(bundle, rows):
    config = Config()
    made = survey_shift.inputs(config, rows)
    return made, survey_shift.predict(survey_shift.build(config, read_bundle(bundle[0])[1]), made.arrays)


def test_target_rows_are_classified_by_labels_of_the_source(bundle):
    table = shifted_table()
    target = table.filter(pc.equal(table["survey"], "target"))
    _, columns = predicted(bundle, rows_of(target))
    assert np.mean(columns["shift_class"] == np.array(target["class"].to_pylist())) > 0.9
    p = np.column_stack([columns[f"shift_p_{name}"] for name in Config().classes])
    assert_allclose(p.sum(axis=1), 1.0, atol=1e-5)
    assert columns["shift_domain"].mean() > 0.7
    assert set(columns) == {column.name for column in survey_shift.writes(Config())}


def test_aligned_features_are_those_of_the_source_survey(bundle):
    table = shifted_table()
    target, source = (table.filter(pc.equal(table["survey"], name)) for name in ("target", "source"))
    _, columns = predicted(bundle, rows_of(target))
    for name in ("lcf_mean_b", "lcf_mean_r"):
        truth = source[name].to_numpy().mean()
        before = abs(target[name].to_numpy().mean() - truth)
        assert abs(columns[f"shift_aligned_{name}"].mean() - truth) < 0.3 * before


def test_a_row_without_a_feature_is_flagged_and_not_scored(bundle):
    rows = rows_of(shifted_table()).slice(0, 6)
    broken = {
        "vs_period": [None, -1.0, 0.0, np.inf, 1.0, 1.0],
        "lcf_mean_b": [18.0, 18.0, 18.0, 18.0, np.nan, 18.0],
    }
    for name, values in broken.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, pa.float64()))
    made, columns = predicted(bundle, rows)
    assert_array_equal(made.scorable, [False] * 5 + [True])
    assert_array_equal(made.flag, [survey_shift.FLAGS[0].mask] * 5 + [0])
    assert len(columns["shift_class"]) == 1


def test_a_row_unlike_both_surveys_has_a_small_p_value_and_likelihood(bundle):
    rows = rows_of(shifted_table()).slice(0, 40)
    far = rows.set_column(rows.schema.get_field_index("lcf_mean_b"), "lcf_mean_b", pa.array(np.full(40, 90.0)))
    _, usual = predicted(bundle, rows)
    _, odd = predicted(bundle, far)
    smallest = 1 / (1 + len(read_bundle(bundle[0])[1].arrays["ood.reference"]))
    assert_allclose(odd["shift_ood"], smallest)
    assert np.median(usual["shift_ood"]) > 0.1
    assert odd["shift_loglik"].max() < np.median(usual["shift_loglik"])


def test_the_scores_of_the_card_are_measured_again(bundle):
    folder, card = bundle
    again = evaluate("survey-shift", str(folder), data=shifted_table())
    assert [(s.metric, s.who) for s in again.scores] == [(s.metric, s.who) for s in card.scores]
    assert_allclose([s.value for s in again.scores], [s.value for s in card.scores], atol=1e-9)


def test_the_same_seed_gives_the_same_bytes(bundle, tmp_path):
    recipe = Recipe(rounds=10, members=2, steps=4, simulated_rows=0)
    card = train("survey-shift", tmp_path / "tiny", data=shifted_table(), recipe=recipe)
    assert card.files == bundle[1].files


def test_weights_of_other_features_or_classes_are_refused(bundle):
    arrays = dict(read_bundle(bundle[0])[1].arrays)
    with pytest.raises(DataError, match="features"):
        survey_shift.build(Config(plain=("lcf_mean_b",)), Weights(arrays, {}, ""))
    with pytest.raises(DataError, match="classes"):
        survey_shift.build(Config(classes=("a", "b")), Weights(arrays, {}, ""))
    with pytest.raises(SpecError, match="needs weights"):
        survey_shift.build(Config(), None)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(SpecError, match="each once"):
        Config(plain=("vs_period",))
    with pytest.raises(SpecError, match="two names"):
        Config(classes=("a",))
    with pytest.raises(SpecError, match="positive"):
        Recipe(rounds=0)


def test_macro_f1_is_the_mean_over_the_classes_there_are():
    truth = np.array([0, 0, 1, 1, 3])
    assert macro_f1(truth, truth) == 1.0
    assert_allclose(macro_f1(np.array([0, 1, 1, 1, 2]), truth), np.mean([2 / 3, 4 / 5, 0.0]))
