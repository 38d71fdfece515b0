"""Score gamornet on held-out galaxies, beside baselines and reported numbers.

The weights shipped are measured on SIMULATED images of the harder domain: the galaxies are drawn
again from their seed, so the scores need no stored data. Weights may also be measured on the
labelled rows of a catalog.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.calibration import expected_calibration_error, reliability
from skyloom.evaluation.gamornet_galaxies import SURVEY_OF, Sample, Test, drawn_test, labelled_parts, labelled_test
from skyloom.evaluation.labelled import LabelledSource, is_labelled
from skyloom.evaluation.scores import ScoreTable, balanced_accuracy, bootstrap, log_loss
from skyloom.evaluation.subgroups import binned, subgroup_scores
from skyloom.features.morphology import light_moments_of
from skyloom.models import gamornet
from skyloom.models.architecture import build_checked
from skyloom.models.card import Card, Score, Subgroup
from skyloom.models.probabilities import calibrated, softmax
from skyloom.runtime.contract import System, Weights
from skyloom.simulators.surveys import Survey, survey

__all__ = ["CATALOGS", "evaluate", "measure", "purity_table"]

CATALOGS = True

SWEEP = (0.5, 0.6, 0.7, 0.8, 0.9)

_METRICS = (
    "predicted disks that are disks",
    "predicted disks that are bulges",
    "predicted bulges that are bulges",
    "predicted bulges that are disks",
    "indeterminate fraction",
)
_TABLES = {
    "reported: paper, SDSS": (0.9972, 0.0019, 0.9483, 0.0413, 0.33),
    "reported: Keras port, SDSS": (0.9972, 0.0015, 0.9525, 0.0337, 0.31),
    "reported: paper, CANDELS": (0.9183, 0.0790, 0.7862, 0.2086, 0.39),
    "reported: Keras port, CANDELS": (0.9445, 0.0537, 0.7788, 0.2174, 0.46),
}
_BETTER = ("higher", "lower", "higher", "lower", "lower")
REPORTED = tuple(
    Score(metric, who, value, better=better)
    for who, values in _TABLES.items()
    for metric, value, better in zip(_METRICS, values, _BETTER, strict=True)
)
"""Tables 5 and 7 of the paper as its documentation repeats them; of real galaxies, so no comparison."""

_RF_TREES = 300


def purity_table(place: NDArray[np.integer], truth: NDArray[np.integer]) -> tuple[float, ...]:
    """Return the five numbers of the paper's tables; a purity is NaN where nothing is predicted.

    Parameters
    ----------
    place, truth : ndarray of integers, shape (N,)
        Class given, and true class: 0 disk, 1 indeterminate, 2 bulge.
    """
    disks, bulges = truth[place == 0], truth[place == 2]

    def share(of: NDArray[np.integer], which: int) -> float:
        return float((of == which).mean()) if len(of) else float("nan")

    return share(disks, 0), share(disks, 2), share(bulges, 2), share(bulges, 0), float((place == 1).mean())


def evaluate(
    estimator: gamornet.Estimator, weights: Weights, test: Test, *, variant: str, form: str
) -> ScoreTable:
    """Score held-out galaxies.

    Parameters
    ----------
    estimator : Estimator
    weights : Weights
        Of the bundle: it has the networks of the baselines, too.
    test : Test
    variant, form : str

    Returns
    -------
    ScoreTable
        Errors are from a bootstrap over the held-out galaxies.
    """
    from skyloom.models.gamornet.network import FORMS, build_network, outputs
    from skyloom.runtime.networks import load_state

    truth = test.held_out.label
    members, _ = gamornet.member_probabilities(estimator, test.held_out.images)
    p = calibrated(np.log(np.fmax(gamornet.average(members), 1e-12)), estimator.scale, estimator.bias)
    scores = [*_scores(f"ours, after transfer ({test.sky})", p, truth), *_single(members, truth, test.sky)]
    for name, who in (("scratch", "from scratch on the same labels"), ("simulation", "simulation only")):
        net = build_network(FORMS[form], seed=0)
        load_state(net, weights.arrays, f"baseline.{name}.")
        scores += _basic(f"baseline: {who}, one network", softmax(outputs(net, test.held_out.images)[0]), truth)
    forest = _forest(test.shown, test.held_out)
    prior = np.bincount(test.shown.label, minlength=3) / len(test.shown.label)
    scores += _basic("baseline: random forest on light moments", forest, truth)
    scores += _basic("baseline: class prior", np.tile(prior, (len(truth), 1)), truth)
    scores += _table(f"ours, after transfer ({test.sky})", p, truth, estimator.thresholds)
    scores += _table("baseline: random forest on light moments", forest, truth, estimator.thresholds)
    for least in SWEEP:
        scores += _table(f"ours, both thresholds {least:.2f} ({test.sky})", p, truth, (least, least))
    return ScoreTable(
        system=gamornet.NAME,
        variant=variant,
        n=len(truth),
        scores=(*scores, *REPORTED),
        reliability=reliability(p.max(axis=1), p.argmax(axis=1) == truth, what="the class given"),
        note=test.note,
        subgroups=_subgroups(p, test.held_out, survey(SURVEY_OF[form])),
        priors={name: float(share) for name, share in zip(gamornet.CLASSES, prior, strict=True)},
    )


def _subgroups(p: NDArray[np.float64], test: Sample, kind: Survey) -> tuple[Subgroup, ...]:
    """Score by what the truth says of a galaxy: its light, the size of its bulge, other sources in the image.

    None for galaxies whose truth nobody knows.
    """
    if not test.truth.column_names:
        return ()
    true = {name: test.truth[f"true_{name}"].to_numpy() for name in ("magnitude", "bulge_radius", "neighbours")}
    magnitudes = np.linspace(*kind.magnitude, 5)[1:-1]
    radii = np.geomspace(*kind.bulge_arcsec, 4)[1:-1].round(2)
    parts = (
        ("AB magnitude", binned(true["magnitude"], magnitudes.tolist(), "mag")),
        ("half-light radius of the bulge", binned(true["bulge_radius"], radii.tolist(), "arcsec")),
        ("neighbours", np.where(true["neighbours"] > 0, "other sources in the image", "alone")),
    )
    return tuple(
        score
        for by, group in parts
        for metric, measure in (("balanced accuracy", balanced_accuracy), ("accuracy, disk against bulge", _two))
        for score in subgroup_scores(metric, measure, (p, test.label), by=by, group=group)
    )


def measure(
    system: System, card: Card, weights: Weights, data: pa.Table | LabelledSource | Path | None
) -> ScoreTable:
    """Score stored weights on the galaxies that their training held out, or on a labelled catalog's.

    Raises
    ------
    SpecError
        If a table or folder is given, or the weights were trained on a catalog and none is named.
    DataError
        As `labelled_parts`; ``BAD_WEIGHTS`` if the networks are not those of the card.
    """
    form = str(card.training["recipe.form"])
    estimator = build_checked(system, system.Config(form=form), (card, weights))
    if is_labelled(data):
        with tempfile.TemporaryDirectory() as folder:
            rows = data.read(system, system.Config(form=form), Path(folder))
            shown, _, held_out = labelled_parts(rows)
            test = labelled_test(rows, shown, held_out)
        return evaluate(estimator, weights, test, variant=card.variant, form=form)
    if data is not None:
        msg = f"model {gamornet.NAME} is scored on galaxies that it simulates, or on a catalog: leave `data` out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=gamornet.NAME)
    return evaluate(estimator, weights, drawn_test(card.training), variant=card.variant, form=form)


def _scores(who: str, p: NDArray[np.float64], truth: NDArray[np.int64]) -> list[Score]:
    right = p.argmax(axis=1) == truth
    return [
        *_basic(who, p, truth),
        Score("log-loss", who, log_loss(p, truth), bootstrap(log_loss, p, truth), "lower"),
        Score(
            "calibration error, class given",
            who,
            expected_calibration_error(p.max(axis=1), right),
            bootstrap(expected_calibration_error, p.max(axis=1), right),
            "lower",
        ),
    ]


def _basic(who: str, p: NDArray[np.float64], truth: NDArray[np.int64]) -> list[Score]:
    return [
        Score("balanced accuracy", who, balanced_accuracy(p, truth), bootstrap(balanced_accuracy, p, truth)),
        Score("accuracy, disk against bulge", who, _two(p, truth), bootstrap(_two, p, truth)),
    ]


def _two(p: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return how often the larger of disk and bulge is right, over galaxies that are one of them."""
    clear = truth != 1
    return float(((p[clear, 2] > p[clear, 0]) == (truth[clear] == 2)).mean())


def _single(members: NDArray[np.float64], truth: NDArray[np.int64], sky: str) -> list[Score]:
    """Score the networks one by one: what is to be compared with a baseline of one network."""
    values = [balanced_accuracy(p, truth) for p in members]
    two = [_two(p, truth) for p in members]
    who = f"ours, after transfer, mean of one network ({sky})"
    return [
        Score("balanced accuracy", who, float(np.mean(values)), float(np.std(values, ddof=1))),
        Score("accuracy, disk against bulge", who, float(np.mean(two)), float(np.std(two, ddof=1))),
    ]


def _table(
    who: str, p: NDArray[np.float64], truth: NDArray[np.int64], thresholds: tuple[float, float]
) -> list[Score]:
    place = gamornet.classify(p, *thresholds)
    rows = zip(_METRICS, purity_table(place, truth), _BETTER, strict=True)
    return [Score(metric, who, value, better=better) for metric, value, better in rows]


def _forest(shown: Sample, test: Sample) -> NDArray[np.float64]:
    """Return a random forest's probabilities (M, 3) of the test galaxies, from light moments."""
    from sklearn.ensemble import RandomForestClassifier

    features = [np.nan_to_num(light_moments_of(part.raw), nan=-99.0) for part in (shown, test)]
    model = RandomForestClassifier(_RF_TREES, min_samples_leaf=3, random_state=0, n_jobs=1)
    model.fit(features[0], shown.label)
    p = np.zeros((len(test.label), 3))
    p[:, model.classes_] = model.predict_proba(features[1])
    return p
