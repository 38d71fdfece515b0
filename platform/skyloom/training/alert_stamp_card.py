"""The card of alert-stamp: what the weights were made from, and what they are not for."""

from __future__ import annotations

import numpy as np

from skyloom.evaluation.alert_folds import FOLD_SEED, alert_folds
from skyloom.evaluation.alert_labels import DISTRUSTED
from skyloom.evaluation.alerts import Alerts
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import alert_stamp
from skyloom.models.alert_stamp import CLASSES, FOLDS
from skyloom.models.alert_stamp.stamps import NORMALISATION
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.training.alert_stamp_fit import Fitting

__all__ = ["card_of"]

_LIMITS = (
    "Labels are cross-matches that nobody looked at. About a hundred objects: mind the errors of the scores. "
    "Brokers chose the files to test their code, and class goes with file: the scores with the files of an "
    "object's group left out say what that is worth. Class shares are those of this selection, not of ZTF, and so "
    "are the probabilities. Supernovae and active nuclei are one class. Bogus detections have none: see the flag "
    "DOUBTFUL, and the scores of stamp_ood for how many of them it finds. A forest that also knows how often the "
    "place was detected before is among the baselines; these networks do not read that. stamp_p_sd is the spread "
    "of networks that share most of their objects, and misses what all of them got wrong."
)
_OUT_OF_SCOPE = (
    "Rates and class shares of the ZTF stream; real against bogus; telling supernovae from active nuclei; alerts "
    "of other surveys, pixel scales or difference pipelines without training again; any single alert on which "
    "much depends, such as time on a telescope, without a person's look."
)


def card_of(fitting: Fitting, alerts: Alerts, estimator: alert_stamp.Estimator, table: ScoreTable) -> Card:
    """Return the card of weights that were fitted to `alerts` and have the scores of `table`."""
    config = alert_stamp.Config()
    (image,) = alert_stamp.tensors(config)
    request = fitting.request
    return Card(
        name=alert_stamp.NAME,
        variant=request.variant,
        title=alert_stamp.TITLE,
        question=alert_stamp.QUESTION,
        source="arXiv:2008.03309 (ALeRCE's classifier), arXiv:1907.11259 (braai); departures: see the module",
        intended_use="Sort real ZTF alerts, as they come in, into those of stars, of other galaxies and of the "
        "solar system; show what three stamps tell.",
        limits=_LIMITS,
        licence="BSD-3-Clause (weights); ZTF public alerts (training data)",
        command=request.command(alert_stamp.NAME, data=True, network=True),
        evaluate=f"skyloom model evaluate {alert_stamp.NAME}",
        training={
            **_training(alerts, estimator),
            **request.record(fitting.recipe, network=True, **fitting.curves),
        },
        flags={flag.name: flag.description for flag in alert_stamp.FLAGS},
        reads=tuple(column.name for column in alert_stamp.reads(config)),
        writes=tuple(column.name for column in alert_stamp.writes(config)),
        scores=table.scores,
        reliability=table.reliability,
        inputs=(Input(image.name, image.shape, image.unit, image.bands, image.pixel_arcsec, NORMALISATION),),
        architecture=architecture_of(estimator),
        tolerance={column.name: alert_stamp.TOLERANCE[column.name] for column in alert_stamp.writes(config)},
        domain=Domain(
            survey="Zwicky Transient Facility, public alerts",
            bands=("ztf_g", "ztf_r"),
            depth="difference magnitudes 13 to 21.6",
            cadence="single epoch",
            selection="alerts in the test data of brokers (see training), with a label from a cross-match",
            simulated=False,
        ),
        priors=table.priors,
        out_of_scope=_OUT_OF_SCOPE,
        subgroups=table.subgroups,
    )


def _training(alerts: Alerts, estimator: alert_stamp.Estimator) -> dict[str, Plain]:
    known = alerts.labelled()
    _, first = alert_folds(known)
    one = known.take(first)
    return {
        "data": "ZTF public alert packets from the test data of fink-science, fink-filters, fink-utils, "
        "fink-broker, kowalski and Ampel-ZTF",
        "simulated": False,
        "labels": "types of SIMBAD, VSX, Gaia and TNS in the packets, and ssdistnr from 0 to 10 arcsec; an object "
        "for which they say nothing, or several things, has none: skyloom.evaluation.alert_labels",
        "not_labels": f"types in {', '.join(DISTRUSTED)}: they contradict each other; drb and rb: models' outputs",
        "selection": "chosen by brokers to test their code: superluminous supernovae, one alert or two of each "
        "SIMBAD type, cataclysmic and young stars, asteroids",
        "split": f"by object, {FOLDS} folds with the classes dealt out evenly, one network a fold",
        "split_seed": FOLD_SEED,
        "settings": "after a look at the judging objects of one fold, for four pairs of learning rate and batch",
        **{f"objects.{name}": int((one.target == k).sum()) for k, name in enumerate(CLASSES)},
        **{f"alerts.{name}": int((known.target == k).sum()) for k, name in enumerate(CLASSES)},
        **{f"group.{group}": int((one.group == group).sum()) for group in np.unique(one.group).tolist()},
        "alerts.unlabelled": len(alerts.target) - len(known.target),
        "out_of_fold": "scores, temperature, sets and the reference of stamp_ood: each object by the one network "
        "that neither learned from it nor was stopped by it; in scores, temperature and sets are of other folds",
        "not_out_of_fold": "columns of a job are the mean of five networks; four of them know a labelled alert of "
        "this table",
        "temperature": estimator.temperature,
        "conformal": estimator.conformal,
    }
