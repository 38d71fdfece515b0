"""The card of alert-stamp: what the weights were made from, and what they are not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from skyloom.evaluation.alert_labels import DISTRUSTED
from skyloom.evaluation.alert_stamp import FOLD_SEED, alert_folds
from skyloom.evaluation.alerts import Alerts
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp import CLASSES, FOLDS
from skyloom.models.card import Card
from skyloom.training.alert_stamp_fit import Recipe
from skyloom.training.learners import TrainRequest

if TYPE_CHECKING:
    from skyloom.training.loop import History

__all__ = ["card_of"]

_LIMITS = (
    "Labels are cross-matches, not looked at by people. A hundred objects: errors are 3 % for all and 8 % for a rare "
    "class. Files were chosen by brokers to test their code, and file and class go together: with the files of an "
    "object's group left out, scores fall as the table shows. Class shares are those of the selection, not of ZTF, "
    "and so are the probabilities. There is no class for bogus detections: see the flag DOUBTFUL, and stamp_ood, "
    "which finds them badly. A random forest that also sees how often the place was detected before does better. "
    "stamp_p_sd is the spread of networks that share most of their objects and misses what all of them got wrong."
)


def card_of(
    request: TrainRequest,
    recipe: Recipe,
    curves: Mapping[str, History],
    alerts: Alerts,
    estimator: alert_stamp.Estimator,
    table: ScoreTable,
) -> Card:
    """Return the card of weights that were trained on `alerts` and have the scores of `table`."""
    config = alert_stamp.Config()
    return Card(
        name=alert_stamp.NAME,
        variant=request.variant,
        title=alert_stamp.TITLE,
        question=alert_stamp.QUESTION,
        source="arXiv:2008.03309 (ALeRCE's stamp classifier), arXiv:1907.11259 (braai); departures: see the module",
        intended_use="Sort real ZTF alerts into those of stars, of other galaxies and of the solar system when they "
        "come in, from the stamps alone; show what stamps tell.",
        limits=_LIMITS,
        licence="BSD-3-Clause (weights); ZTF public alerts (training data)",
        command=request.command(alert_stamp.NAME, data=True, network=True),
        evaluate=f"skyloom model evaluate {alert_stamp.NAME}",
        training={**_training(alerts, estimator), **request.record(recipe, network=True, **curves)},
        flags={flag.name: flag.description for flag in alert_stamp.FLAGS},
        reads=tuple(column.name for column in alert_stamp.reads(config)),
        writes=tuple(column.name for column in alert_stamp.writes(config)),
        scores=table.scores,
        reliability=table.reliability,
    )


def _training(alerts: Alerts, estimator: alert_stamp.Estimator) -> dict[str, Any]:
    known = alerts.labelled()
    _, first = alert_folds(known)
    one = known.take(first)
    objects = {f"objects.{name}": int((one.target == k).sum()) for k, name in enumerate(CLASSES)}
    alerts_of = {f"alerts.{name}": int((known.target == k).sum()) for k, name in enumerate(CLASSES)}
    groups = {f"objects.from {group}": int((one.group == group).sum()) for group in np.unique(one.group).tolist()}
    return {
        "data": "ZTF public alert packets from the test data of fink-science, fink-filters, fink-utils, fink-broker, "
        "kowalski and Ampel-ZTF",
        "simulated": False,
        "labels": "SIMBAD, VSX, Gaia and TNS types in the packets; ssdistnr of 0 to 10 arcsec: solar-system; "
        "an object with none or several has none. See skyloom.evaluation.alert_labels",
        "not_labelled": f"types in {', '.join(DISTRUSTED)} (they contradict each other), drb and rb (models' outputs)",
        "selection": "chosen by brokers to test their code: superluminous supernovae, one alert of each SIMBAD type, "
        "cataclysmic and young stars, asteroids",
        "split": f"by object, {FOLDS} folds, classes dealt out evenly; one network a fold",
        "split_seed": FOLD_SEED,
        **objects,
        **alerts_of,
        **groups,
        "alerts.unlabelled": int(len(alerts.target) - len(known.target)),
        "out_of_fold": "scores, temperature, sets, reference of ood: each object by the one network that neither "
        "learned from it nor was stopped by it; for scores, temperature and sets are from the other four folds",
        "not_out_of_fold": "columns of a job are the mean of all five networks: of labelled alerts of this table, "
        "four of them know the object",
        "temperature": estimator.temperature,
        "conformal": estimator.conformal,
    }
