"""The system as a job sees it: every alert comes out, with values that fit each other or with a reason."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from alert_tables import alerts
from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.evaluation.alerts import alert_rows
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp.network import HIDDEN, StampEnsemble, build_network
from skyloom.runtime.contract import Weights
from skyloom.runtime.networks import state_arrays
from skyloom.runtime.scoring import score
from skyloom.training.novelty import fit_novelty

CONFIG = alert_stamp.Config()


@pytest.fixture(scope="module")
def arrays():
    """Weights of networks that learned nothing."""
    rng = np.random.default_rng(0)
    made = state_arrays(StampEnsemble([build_network(3, seed=k) for k in range(alert_stamp.FOLDS)]))
    first = np.arange(60) < 40
    for k in range(alert_stamp.FOLDS):
        hidden = rng.normal(0, 0.3, (60, HIDDEN)).astype(np.float32)
        novelty = fit_novelty(hidden, rng.integers(0, 3, 60), np.arange(HIDDEN), first, ~first)
        made |= {f"fold.{k}.{name}": values for name, values in novelty.to_arrays().items()}
    return made | {"temperature": np.array([0.5]), "conformal": np.array([0.3])}


@pytest.fixture(scope="module")
def estimator(arrays):
    return alert_stamp.build(CONFIG, Weights(arrays, {}, ""))


def scored(estimator, rows, batch_rows=64):
    return score(alert_stamp, estimator, CONFIG, rows, layer="stamp", batch_rows=batch_rows)[0]


def test_probabilities_add_to_one_and_class_and_set_follow_from_them(estimator):
    out = scored(estimator, alert_rows(alerts(20))).to_pandas()
    names = ["stamp_p_star", "stamp_p_extragalactic", "stamp_p_solar_system"]
    for columns in (names, [f"{name}_raw" for name in names]):
        np.testing.assert_allclose(out[columns].sum(axis=1), 1.0, atol=1e-6)
    best = [alert_stamp.CLASSES[k] for k in out[names].to_numpy().argmax(axis=1)]
    assert best == out["stamp_class"].tolist()
    for row, inside in zip(out[names].to_numpy(), out["stamp_set"], strict=True):
        wanted = [name for name, p in zip(alert_stamp.CLASSES, row, strict=True) if p >= 0.3 or p == row.max()]
        assert inside.split("|") == wanted
    for name in ("stamp_ood", "stamp_entropy", "stamp_p_sd"):
        assert out[name].between(0, 1).all()


def test_a_temperature_below_one_sharpens_and_changes_no_members_order(estimator):
    out = scored(estimator, alert_rows(alerts(20))).to_pandas()
    assert (out["stamp_p_star"].std() > out["stamp_p_star_raw"].std()).all()


def test_a_row_has_the_same_bits_alone_among_others_and_in_any_order(estimator):
    rows = alert_rows(alerts(36))
    whole = scored(estimator, rows)
    for size in (5, 32, 100):
        assert scored(estimator, rows, size).equals(whole)
    back = pa.array(np.arange(36)[::-1])
    assert scored(estimator, rows.take(back)).equals(whole.take(back))


def test_weights_that_are_not_there_or_do_not_fit_are_refused(arrays):
    with pytest.raises(SpecError, match="skyloom model train alert-stamp"):
        alert_stamp.build(CONFIG, None)
    for broken in (
        {name: a for name, a in arrays.items() if name != "temperature"},
        arrays | {"conformal": np.array([0.1, 0.2])},
        {name: a for name, a in arrays.items() if not name.startswith("fold.4.")},
        {name: a for name, a in arrays.items() if name != "net.members.2.head.bias"},
        arrays | {"net.members.5.head.bias": np.zeros(3, np.float32)},
    ):
        with pytest.raises(DataError) as caught:
            alert_stamp.build(CONFIG, Weights(broken, {}, ""))
        assert caught.value.kind == ErrorKind.BAD_WEIGHTS
