"""Score gamornet on held-out galaxies of the harder simulated domain, beside baselines and reported numbers.

Everything of ours is measured on SIMULATED images. The galaxies are drawn again from their seed,
so the scores need no stored data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.calibration import expected_calibration_error, reliability
from skyloom.evaluation.scores import ScoreTable, balanced_accuracy, bootstrap, log_loss
from skyloom.features.morphology import light_moments
from skyloom.models import gamornet
from skyloom.models.card import Card, Score
from skyloom.models.probabilities import calibrated, softmax
from skyloom.runtime.contract import System, Weights
from skyloom.runtime.tensors import tensor_column
from skyloom.simulators.galaxies import galaxies
from skyloom.simulators.surveys import survey

__all__ = ["Sample", "evaluate", "measure", "purity_table", "sample"]

SURVEY_OF = {"small": "sdss-small", "sdss": "sdss", "candels": "hst"}
CALIBRATION_START, HELD_OUT_START = 10_000_000, 20_000_000
"""First galaxies of these parts; the training part starts at 0."""
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


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """M scorable galaxies."""

    images: NDArray[np.float32]
    """As `skyloom.models.gamornet.inputs` makes them: (M, 1, size, size)."""
    label: NDArray[np.int64]
    """Place in `CLASSES`, (M,)."""
    raw: NDArray[np.float32]
    """The images before, in nJy: (M, size, size)."""


def sample(form: str, n: int, *, seed: int, domain: str, start: int = 0) -> Sample:
    """Draw galaxies and prepare them as a job would; those that a job flags are left out."""
    drawn = galaxies(survey(SURVEY_OF[form]), n, seed=seed, domain=domain, start=start)
    whole = pa.array(np.ones(n, dtype=np.float32))
    rows = pa.RecordBatch.from_arrays([tensor_column(drawn.images), whole], names=["cutout", "cutout_coverage"])
    made = gamornet.inputs(gamornet.Config(form=form), rows)
    return Sample(made.arrays["image"], drawn.label[made.scorable], drawn.images[made.scorable, 0])


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
    estimator: gamornet.Estimator,
    weights: Weights,
    *,
    variant: str,
    form: str,
    seed: int,
    n_labels: int,
    n_held_out: int,
) -> ScoreTable:
    """Score held-out galaxies of the domain called real.

    Parameters
    ----------
    estimator : Estimator
    weights : Weights
        Of the bundle: it has the networks of the baselines, too.
    variant, form : str
    seed, n_labels, n_held_out : int
        Of the training: the galaxies are drawn again.

    Returns
    -------
    ScoreTable
        Errors are from a bootstrap over the held-out galaxies.
    """
    from skyloom.models.gamornet.network import FORMS, build_network, outputs
    from skyloom.runtime.networks import load_state

    test = sample(form, n_held_out, seed=seed, domain="real", start=HELD_OUT_START)
    truth = test.label
    members, _ = gamornet.member_probabilities(estimator, test.images)
    p = calibrated(np.log(np.fmax(gamornet.average(members), 1e-12)), estimator.scale, estimator.bias)
    scores = [*_scores("ours, after transfer (simulated)", p, truth), *_single(members, truth)]
    for name, who in (("scratch", "from scratch on the same labels"), ("simulation", "simulation only")):
        net = build_network(FORMS[form], seed=0)
        load_state(net, weights.arrays, f"baseline.{name}.")
        scores += _basic(f"baseline: {who}, one network", softmax(outputs(net, test.images)[0]), truth)
    shown = sample(form, n_labels, seed=seed, domain="real")
    forest, prior = _forest(shown, test), np.bincount(shown.label, minlength=3) / len(shown.label)
    scores += _basic("baseline: random forest on light moments", forest, truth)
    scores += _basic("baseline: class prior", np.tile(prior, (len(truth), 1)), truth)
    scores += _table("ours, after transfer (simulated)", p, truth, estimator.thresholds)
    scores += _table("baseline: random forest on light moments", forest, truth, estimator.thresholds)
    for least in SWEEP:
        scores += _table(f"ours, both thresholds {least:.2f} (simulated)", p, truth, (least, least))
    return ScoreTable(
        system=gamornet.NAME,
        variant=variant,
        n=len(truth),
        scores=(*scores, *REPORTED),
        reliability=reliability(p.max(axis=1), p.argmax(axis=1) == truth, what="the class given"),
        note="All of ours is on SIMULATED galaxies; reported numbers are of real ones and of larger networks.",
    )


def measure(system: System, card: Card, weights: Weights, data: pa.Table | Path | None) -> ScoreTable:
    """Score stored weights on the galaxies that their training held out.

    Raises
    ------
    SpecError
        If data are given.
    """
    if data is not None:
        msg = f"model {gamornet.NAME} simulates the galaxies that it is scored on; leave `data` out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=gamornet.NAME)
    form = str(card.training["recipe.form"])
    return evaluate(
        system.build(system.Config(form=form), weights),
        weights,
        variant=card.variant,
        form=form,
        seed=int(card.training["seed"]),
        n_labels=int(card.training["recipe.n_labels"]),
        n_held_out=int(card.training["recipe.n_held_out"]),
    )


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


def _single(members: NDArray[np.float64], truth: NDArray[np.int64]) -> list[Score]:
    """Score the networks one by one: what is to be compared with a baseline of one network."""
    values = [balanced_accuracy(p, truth) for p in members]
    two = [_two(p, truth) for p in members]
    who = "ours, after transfer, mean of one network (simulated)"
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

    features = [
        np.nan_to_num(np.stack([light_moments(image) for image in part.raw]), nan=-99.0) for part in (shown, test)
    ]
    model = RandomForestClassifier(_RF_TREES, min_samples_leaf=3, random_state=0, n_jobs=1)
    model.fit(features[0], shown.label)
    p = np.zeros((len(test.label), 3))
    p[:, model.classes_] = model.predict_proba(features[1])
    return p
