"""What the two transient systems say about made-up feature rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import DataError, SpecError
from skyloom.evaluation.examples import example_rows
from skyloom.models import registry
from skyloom.models.transient_class import CLASSES
from skyloom.models.weights import load_weights
from skyloom.runtime.contract import Weights
from skyloom.runtime.scoring import score

NAMES = ("transient-anomaly", "transient-class")


def loaded(name):
    system = registry.system(name)
    return system, system.build(system.Config(), load_weights(name)[1])


def scored(name, rows):
    system, estimator = loaded(name)
    return score(system, estimator, system.Config(), rows, layer=name, batch_rows=50)[0]


def changed(rows, **columns):
    for name, values in columns.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, pa.array(values, type=rows.schema.field(name).type))
    return rows


@pytest.fixture(scope="module")
def rows():
    system = registry.system("transient-class")
    return example_rows(system, system.Config(), 20)


def test_class_probabilities_add_to_one_and_the_class_has_the_largest(rows):
    out = scored("transient-class", rows)
    p = np.stack([out.column(f"transient_class_p_{label}").to_numpy() for label in CLASSES.values()], axis=1)
    assert_allclose(p.sum(axis=1), 1.0, rtol=1e-5)
    assert out.column("transient_class").to_pylist() == [list(CLASSES.values())[k] for k in p.argmax(axis=1)]


@pytest.mark.parametrize("column", ["p_ia", "p_sd", "entropy", "ood"])
def test_what_goes_with_the_class_lies_between_0_and_1(rows, column):
    values = scored("transient-class", rows).column(f"transient_class_{column}").to_numpy()
    assert ((values >= 0) & (values <= 1)).all()


def test_made_up_rows_are_out_of_distribution(rows):
    assert np.median(scored("transient-class", rows).column("transient_class_ood").to_numpy()) < 0.05
    assert np.median(scored("transient-anomaly", rows).column("transient_anomaly_pct").to_numpy()) > 90


def test_percentile_rises_with_the_score(rows):
    out = scored("transient-anomaly", rows)
    score, pct = (out.column(f"transient_anomaly_{name}").to_numpy() for name in ("score", "pct"))
    assert (np.diff(pct[np.argsort(score)]) >= 0).all()
    assert (out.column("transient_anomaly_score_sd").to_numpy() > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_too_few_points_and_missing_redshift_are_flagged(rows, name):
    few = changed(rows, **{f"lcf_n_obs_{band}": [1.0] * 20 for band in "ugrizy"}, hostgal_photoz=[0.5] * 20)
    out = scored(name, few)
    flags = out.column(out.num_columns - 1).to_numpy()
    assert (flags == 2).all()
    assert all(column.null_count == 20 for column in out.columns[:-1])
    blind = scored(name, changed(rows, hostgal_photoz=[None] * 20))
    assert (blind.column(blind.num_columns - 1).to_numpy() == 4).all()
    assert all(column.null_count == 0 for column in blind.columns)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_needed_and_must_be_of_this_model(name):
    system = registry.system(name)
    with pytest.raises(SpecError, match="needs weights"):
        system.build(system.Config(), None)
    with pytest.raises(DataError):
        system.build(system.Config(), Weights({}, {}, ""))
    with pytest.raises(SpecError, match="min_points"):
        system.Config(min_points=0)
