"""Train transient-class: three boosted ensembles, calibrated on objects that they did not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation import transient_class as measured
from skyloom.evaluation.calibration import fit_binary, fit_multiclass
from skyloom.evaluation.plasticc import plasticc_of
from skyloom.evaluation.split import FRACTIONS, SEED, parts_of
from skyloom.features.derived import derived_names
from skyloom.models import transient_class
from skyloom.models.boosted import BoostedTrees
from skyloom.models.card import Bin, Card, Plain, Score
from skyloom.models.probabilities import calibrated
from skyloom.models.transient_columns import BANDS
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.training.boosting import fit_boosting, tree_arrays
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import fit_novelty

__all__ = ["Recipe", "train"]

_OOD = ("_mean", "_max", "_min", "_all")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much is grown."""

    rounds: int = 110
    """Of boosting, of each ensemble."""
    members: int = 3
    """Ensembles to average."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.members < 1:
            msg = f"rounds and members must be at least 1, got {self.rounds} and {self.members}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Train on PLAsTiCC and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its data are a table as `plasticc_table` gives it, of all objects (their parts are a hash
        of ``object_id``), or the folder of the published files. Its seed is that of the boosting.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on the held-out objects.

    Raises
    ------
    NotFoundError
        If there are no data; the message says how to get them.
    """
    request.say("computing light-curve features")
    table = plasticc_of(request.data)
    request.say("growing trees")
    features, target, ids = measured.labelled(table)
    parts = parts_of(ids, seed=SEED)
    n_features = features.shape[1]
    # Between all objects alike and all classes alike: calibration puts the priors back.
    weight = 1.0 / np.sqrt(
        np.bincount(target[parts.train], minlength=len(transient_class.CLASSES))[target[parts.train]]
    )
    models = [
        fit_boosting(
            features[parts.train],
            target[parts.train],
            weight / weight.mean(),
            rounds=recipe.rounds,
            seed=recipe.members * request.seed + k,
        )
        for k in range(recipe.members)
    ]
    arrays = tree_arrays(models, n_features)
    raw = BoostedTrees.of_arrays(arrays, n_features).scores(features[parts.calibration]).mean(axis=1)
    arrays["calibration"] = _calibration(raw, target[parts.calibration])
    names = derived_names(BANDS)
    columns = np.array([k for k, name in enumerate(names) if name.endswith(_OOD) or name.startswith("log_")])
    arrays |= fit_novelty(features, target, columns, parts.train, parts.calibration).to_arrays()
    estimator = transient_class.build(transient_class.Config(), Weights(arrays, {}, ""))
    scores = measured.evaluate(estimator, table, variant=request.variant)
    training: dict[str, Plain] = {
        "data": "PLAsTiCC training set, 7,848 simulated LSST objects (doi:10.5281/zenodo.2539456)",
        "simulated": True,
        "selection": "bright objects with spectra: not the survey's faint majority",
        "split": f"by object, hash of object_id: {FRACTIONS[0]:.0%} train, {FRACTIONS[1]:.0%} calibration, "
        f"{FRACTIONS[2]:.0%} held out",
        "split_seed": SEED,
        "n_train": int(parts.train.sum()),
        "n_calibration": int(parts.calibration.sum()),
        "n_held_out": int(parts.held_out.sum()),
        "inputs": n_features,
        "class_weight": "1 / sqrt(class size)",
        "calibration": "scale and class biases, maximum likelihood on the calibration objects",
        **request.record(recipe),
    }
    return write_bundle(request.output, _card(request, training, scores.scores, scores.reliability), arrays)


def _calibration(raw: NDArray[np.float64], target: NDArray[np.int64]) -> NDArray[np.float64]:
    scale, bias = fit_multiclass(raw, target)
    ia = list(transient_class.CLASSES).index(transient_class.SN_IA)
    ia_scale, ia_bias = fit_binary(calibrated(raw, scale, bias)[:, ia], target == ia)
    return np.array([scale, ia_scale, ia_bias, *bias])


def _card(
    request: TrainRequest, training: dict[str, Plain], scores: tuple[Score, ...], bins: tuple[Bin, ...]
) -> Card:
    config = transient_class.Config()
    return Card(
        name=transient_class.NAME,
        variant=request.variant,
        title=transient_class.TITLE,
        question=transient_class.QUESTION,
        source="ads:2019AJ....158..257B (avocado), ads:2019PASP..131i4501K (PLAsTiCC); departures: see the module",
        intended_use="Sort LSST-like ugrizy light curves with host photometric redshifts into PLAsTiCC's "
        "classes; select SN Ia candidates at a stated probability.",
        limits="Trained on the bright, spectroscopically selected training set: on fainter samples the class "
        "mix and the probabilities do not hold. Simulated light curves only. Class 99 (none of these) is not "
        "modelled: cut on transient_class_ood. Settings were chosen among about ten on overlapping objects, "
        "so the scores are slightly optimistic. p_sd is the spread of three ensembles and misses what all of "
        "them got wrong.",
        licence="BSD-3-Clause (weights); CC-BY-4.0 (training data)",
        command=request.command(transient_class.NAME, data=True),
        evaluate=f"skyloom model evaluate {transient_class.NAME}",
        training=training,
        flags={flag.name: flag.description for flag in transient_class.FLAGS},
        reads=tuple(column.name for column in transient_class.reads(config)),
        writes=tuple(column.name for column in transient_class.writes(config)),
        scores=scores,
        reliability=bins,
    )
