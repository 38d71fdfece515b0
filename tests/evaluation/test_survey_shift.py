"""Real surveys as tables, and the shipped weights on stars of EROS-1."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import NotFoundError
from skyloom.evaluation.survey_shift import SHIPPED, alignment_config, macro_f1
from skyloom.evaluation.survey_tables import SHARED, columns_pair, real_pair
from skyloom.evaluation.variable_stars import EROS1_BANDS, eros1_rows
from skyloom.models import lightcurve_features, periodic_class, survey_shift
from skyloom.models.weights import load_weights
from tests.shifted_tables import shifted_table


def test_a_table_of_ones_own_becomes_a_pair_without_the_rows_that_lack_a_feature():
    table = shifted_table(50)
    name = "lcf_mean_b"
    values = np.where(np.arange(100) == 3, np.nan, table[name].to_numpy())
    table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    pair = columns_pair(table, survey_shift.Config())
    assert (len(pair.source), len(pair.target)) == (49, 50)
    assert 3 not in pair.source_id
    assert np.isfinite(pair.source).all()


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="macho_variables"):
        real_pair("MACHO to LINEAR", tmp_path)


def test_the_card_says_the_settings_of_its_alignment():
    config = alignment_config({"recipe.per_class": 3, "recipe.angle_sd": 0.5, "recipe.rounds": 7, "seed": 1})
    assert (config.per_class, config.angle_sd) == (3, 0.5)


@pytest.mark.survey_data
def test_macho_and_linear_share_classes_whose_periods_agree(skyloom_data):
    pair = real_pair("MACHO to LINEAR", skyloom_data)
    assert pair.source.shape[1] == pair.target.shape[1] == len(SHARED[pair.name][1])
    for k, name in enumerate(pair.classes):
        if name.startswith("rr"):
            medians = [np.median(x[y == k, 0]) for x, y in ((pair.source, pair.label), (pair.target, pair.truth))]
            assert abs(medians[0] - medians[1]) < 0.05


@pytest.mark.survey_data
def test_stored_weights_sort_stars_of_eros1_whose_labels_they_never_saw(skyloom_data):
    table = eros1_rows(skyloom_data)
    table = table.take(np.arange(0, table.num_rows, table.num_rows // 120))
    rows = pa.RecordBatch.from_arrays([table["lc"].combine_chunks()], names=["lc"])
    settings = lightcurve_features.Config(bands=EROS1_BANDS, brightness="mag")
    columns = dict(lightcurve_features.predict(settings, lightcurve_features.inputs(settings, rows).arrays))
    columns["vs_period"] = periodic_class.inputs(periodic_class.Config(), rows).arrays["period_d"]
    config = survey_shift.Config()
    batch = pa.RecordBatch.from_arrays(
        [pa.array(np.asarray(columns[name], dtype=np.float64)) for name in config.columns],
        names=list(config.columns),
    )
    card, weights = load_weights("survey-shift")
    made = survey_shift.predict(survey_shift.build(config, weights), survey_shift.inputs(config, batch).arrays)
    words = {"EB": "eb", "CEP": "cep", "RRL": "rrl", "MIRA": "lpv"}
    truth = np.array([survey_shift.CLASSES.index(words[kind]) for kind in table["kind"].to_pylist()])
    given = np.array([survey_shift.CLASSES.index(name) for name in made["shift_class"]])
    said = {s.who: s.value for s in card.scores if s.metric == f"macro F1, {SHIPPED}, real"}
    assert said["ours"] > said["baseline: no adaptation"]
    assert abs(macro_f1(given, truth) - said["ours"]) < 0.15
    assert made["shift_domain"].mean() > 0.5
