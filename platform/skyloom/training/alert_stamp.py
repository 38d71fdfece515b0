"""Train alert-stamp: five networks, one for each fold of a cross-validation by object, and what they compare with.

    skyloom model train alert-stamp --data DIR --output weights/alert-stamp/mine

Each network learns from four folds and is scored on the fifth; a fifth of the objects of its four
folds chooses its epoch. Temperature, sets and the reference of the out-of-distribution p-value come
from what each network says of its own fold. Then, for comparison alone, five networks that see no
neighbour, and one for each group of files, trained without them: their predictions are kept, they are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation import alert_stamp as measured
from skyloom.evaluation.alert_folds import COVERAGE, alert_folds, of_group, out_of_fold
from skyloom.evaluation.alerts import Alerts, alerts_of
from skyloom.evaluation.calibration import fit_temperature
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp import CLASSES, FOLDS
from skyloom.models.alert_stamp.network import StampEnsemble, StampNet
from skyloom.models.alert_stamp.stamps import N_CONTEXT
from skyloom.models.card import Card
from skyloom.models.conformal import set_threshold
from skyloom.models.probabilities import tempered
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.runtime.networks import Network, state_arrays
from skyloom.training.alert_stamp_card import card_of
from skyloom.training.alert_stamp_fit import Fitting, Recipe
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import fit_novelty

__all__ = ["Recipe", "train"]


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Train by cross-validation, calibrate on what was left out, compare, and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its data are the alerts, or the folder of their file; its seed is that of the networks. The
        folds have their own, fixed one.
    recipe : Recipe

    Returns
    -------
    Card
        With scores on objects that were left out.

    Raises
    ------
    NotFoundError, DataError
        As `skyloom.evaluation.alerts.read_alerts`.
    SpecError
        If a class has fewer objects than there are folds, or as `skyloom.training.loop.fit`.
    """
    alerts = alerts_of(request.data)
    known = alerts.labelled()
    fold, first = alert_folds(known)
    one, fold_of_one = known.take(first), fold[first]
    fitting = Fitting(request, recipe)
    ensemble = _cross_validated(fitting, known, fold, N_CONTEXT)
    made = Network(ensemble)(image=one.image, alert=one.alert)
    alone = Network(_cross_validated(fitting, known, fold, 0))(image=one.image, alert=one.alert)
    arrays = {
        **state_arrays(ensemble),
        **_calibration(made["logits"], fold_of_one, one.target),
        **_novelties(made["hidden"], fold_of_one, one.target),
        "compared.candid": one.candid,
        "compared.stamps_alone": out_of_fold(alone["logits"], fold_of_one),
        "compared.group_left_out": _group_left_out(fitting, known, one),
    }
    request.say("measuring scores")
    weights = Weights(arrays, {}, "")
    estimator = alert_stamp.build(alert_stamp.Config(), weights)
    table = measured.score_table(estimator, weights, alerts, variant=request.variant)
    return write_bundle(request.output, card_of(fitting, alerts, estimator, table), arrays)


def _cross_validated(fitting: Fitting, known: Alerts, fold: NDArray[np.int64], n_context: int) -> StampEnsemble:
    """Return one network a fold, which never saw an object of that fold."""
    members: list[StampNet] = []
    for k in range(FOLDS):
        stage = f"fold-{k}" if n_context else f"stamps-alone-{k}"
        seed = FOLDS * fitting.request.seed + k
        members.append(fitting.network(known.take(fold != k), n_context=n_context, seed=seed, stage=stage))
    return StampEnsemble(members)


def _calibration(
    logits: NDArray[np.float32], fold: NDArray[np.int64], target: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    own = out_of_fold(logits, fold)
    temperature = fit_temperature(own, target)
    p_true = tempered(own, temperature)[np.arange(len(target)), target]
    return {
        "temperature": np.array([temperature]),
        "conformal": np.array([set_threshold(p_true, COVERAGE)]),
    }


def _novelties(
    hidden: NDArray[np.float32], fold: NDArray[np.int64], target: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    columns = np.arange(hidden.shape[2], dtype=np.int64)
    for k in range(FOLDS):
        novelty = fit_novelty(hidden[:, k], target, columns, fold != k, fold == k)
        arrays |= {f"fold.{k}.{name}": values for name, values in novelty.to_arrays().items()}
    return arrays


def _group_left_out(fitting: Fitting, known: Alerts, one: Alerts) -> NDArray[np.float64]:
    """Return probabilities of each object by a network that saw no object of its group of files."""
    p = np.empty((len(one.target), len(CLASSES)))
    for number, group in enumerate(sorted(set(one.group.tolist()))):
        stage = f"group-{number}"
        others = known.take(~of_group(known, group))
        seed = FOLDS * fitting.request.seed
        net = fitting.network(others, n_context=N_CONTEXT, seed=seed, stage=stage)
        here = one.group == group
        made = Network(StampEnsemble([net]))(image=one.image[here], alert=one.alert[here])
        p[here] = tempered(made["logits"][:, 0].astype(np.float64), 1.0)
    return p
