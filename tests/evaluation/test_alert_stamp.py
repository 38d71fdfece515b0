"""The shipped weights on the real alerts: their card's scores again, and what the page on them claims."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from alert_tables import stamps
from skyloom.evaluation import evaluate
from skyloom.evaluation.alert_stamp import REPORTED
from skyloom.evaluation.alerts import alert_rows, read_alerts
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp.stamps import normalised
from skyloom.models.weights import load_weights
from skyloom.nn.dihedral import transform
from skyloom.runtime.scoring import score
from skyloom.runtime.tensors import tensor_column, tensor_values

CONFIG = alert_stamp.Config()
P = ["stamp_p_star", "stamp_p_extragalactic", "stamp_p_solar_system"]


@pytest.fixture(scope="module")
def estimator():
    return alert_stamp.build(CONFIG, load_weights("alert-stamp")[1])


def scored(estimator, rows):
    return score(alert_stamp, estimator, CONFIG, rows, layer="stamp", batch_rows=64)[0].to_pandas()


def with_stamps(rows, made):
    arrays = [tensor_column(made) if name == "cutout" else rows.column(name) for name in rows.schema.names]
    return pa.RecordBatch.from_arrays(arrays, names=rows.schema.names)


def test_every_number_of_others_is_called_reported():
    assert all(score.who.startswith("reported") for score in REPORTED)


def test_the_bundle_is_small():
    card, weights = load_weights("alert-stamp")
    assert sum(array.nbytes for array in weights.arrays.values()) < 1_500_000
    assert list(card.files) == ["model.safetensors"]


def test_artefacts_that_fill_the_stamp_are_unlike_the_training(estimator):
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 5, (8, 3, 63, 63))
    y, x = np.mgrid[:63, :63]
    for artefact in (2000.0 * ((x // 4 + y // 4) % 2), 5000.0 * (np.abs(x - 31) < 3)):
        images = normalised((noise + artefact).astype(np.float32))[0]
        none = np.tile(np.float32([0.0, 1.0, 1.0]), (8, 1))
        assert (alert_stamp.predict(estimator, {"image": images, "alert": none})["stamp_ood"] < 0.05).all()


def test_made_up_sources_have_probabilities_that_no_symmetry_of_the_square_changes(estimator):
    image, _ = normalised(stamps(6))
    context = np.random.default_rng(0).uniform(0, 1, (6, 3)).astype(np.float32)
    plain = alert_stamp.predict(estimator, {"image": image, "alert": context})
    for element in range(1, 8):
        other = transform(torch.from_numpy(image), element).contiguous().numpy()
        made = alert_stamp.predict(estimator, {"image": other, "alert": context})
        for name in (*P, "stamp_p_sd", "stamp_entropy"):
            np.testing.assert_allclose(made[name], plain[name], atol=1e-5)


@pytest.mark.survey_data
def test_the_scores_of_the_card_are_measured_again(skyloom_data):
    card, _ = load_weights("alert-stamp")
    again = evaluate("alert-stamp", data=skyloom_data)
    assert [(s.metric, s.who) for s in again.scores] == [(s.metric, s.who) for s in card.scores]
    for one, other in zip(card.scores, again.scores, strict=True):
        np.testing.assert_allclose(other.value, one.value, atol=0.01 if "calibration" in one.metric else 2e-3)
    mine = {s.metric: s.value for s in again.scores if s.who == "ours, out of fold"}
    theirs = {s.metric: s.value for s in again.scores if s.who.endswith("9 alert features")}
    prior = {s.metric: s.value for s in again.scores if s.who.endswith("class prior")}
    for name in ("accuracy", "balanced accuracy"):
        assert mine[name] > theirs[name] > prior[name] - 1e-9


@pytest.mark.survey_data
def test_no_symmetry_of_the_square_changes_what_is_said_of_real_alerts(estimator, skyloom_data):
    rows = alert_rows(read_alerts(skyloom_data).slice(0, 40))
    values, _ = tensor_values(rows, "cutout", (3, 63, 63))
    plain = scored(estimator, rows)
    for element in range(1, 8):
        turned = transform(torch.tensor(values), element).contiguous().numpy()
        made = scored(estimator, with_stamps(rows, turned))
        np.testing.assert_allclose(made[P], plain[P], atol=1e-5)
        assert made["stamp_flag"].tolist() == plain["stamp_flag"].tolist()


@pytest.mark.survey_data
def test_every_real_alert_is_scored_and_those_at_an_edge_say_so(estimator, skyloom_data):
    rows = alert_rows(read_alerts(skyloom_data))
    out = scored(estimator, rows)
    assert out[P].notna().all(axis=None)
    mask = {flag.name: flag.mask for flag in alert_stamp.FLAGS}
    values, _ = tensor_values(rows, "cutout", (3, 63, 63))
    edged = ~(np.abs(values) < 1e30).all(axis=(1, 2, 3))
    assert 40 < edged.sum() < 70
    assert ((out["stamp_flag"].to_numpy() & mask["PATCHED"] > 0) == edged).all()
