"""Train periodic-class on the variable stars of EROS-1: five seeds, and five of the twin that is not invariant.

    skyloom model train periodic-class --data DATA --output DIR

Periods are found by the platform; the annotated ones are for comparison alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation import periodic_class as measured
from skyloom.evaluation.calibration import fit_multiclass
from skyloom.evaluation.periodic_sample import Sample, sample
from skyloom.evaluation.split import SEED
from skyloom.models import periodic_class
from skyloom.models.boosted import BoostedTrees
from skyloom.models.card import Card, Plain
from skyloom.models.conformal import set_threshold
from skyloom.models.periodic_class import Config
from skyloom.models.probabilities import calibrated
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.training.boosting import fit_boosting, tree_arrays
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import fit_novelty, robust_scale
from skyloom.training.periodic_card import card_of
from skyloom.training.phase_networks import PhaseExamples, fit_ensemble

if TYPE_CHECKING:
    from skyloom.training.loop import History

__all__ = ["Recipe", "train"]

_COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class Recipe:
    """Shape of the networks, and how long is trained."""

    architecture: Literal["itcn", "iresnet-exact"] = "itcn"
    """Of ours; its twin is ``tcn`` or ``resnet``."""
    size: int = 3
    depth: int = 5
    width: int = 20
    dropout: float = 0.3
    bins: int = 64
    members: int = 5
    epochs: int = 14
    batch_rows: int = 64
    rate: float = 5e-3
    weight_decay: float = 1e-3
    noise: float = 0.2
    """Standard deviation of what is added to the numbers beside the light curve at each step."""
    ensembles: int = 3
    """Boosted ensembles of trees."""
    rounds: int = 80
    """Boosting rounds of each of them."""

    def __post_init__(self) -> None:
        if (
            self.architecture not in {"itcn", "iresnet-exact"}
            or min(self.members, self.ensembles, self.rounds) < 1
            or not self.noise >= 0.0
        ):
            msg = f"architecture is itcn or iresnet-exact, counts positive and noise not negative, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Find periods, train, calibrate, and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its data are a table as `skyloom.evaluation.variable_stars.eros1_rows` gives it, or its folder.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on the kit's test stars.

    Raises
    ------
    NotFoundError
        If the data are not there.
    SpecError, DataError
        As `skyloom.training.loop.fit`.
    """
    from skyloom.runtime.networks import state_arrays

    request.say("finding periods")
    config = Config(bins=recipe.bins)
    stars = sample(request.data, config)
    centre, width = robust_scale(stars.arrays["extras"][stars.parts.train])
    curves: dict[str, History] = {}
    part = stars.rows(stars.parts.train)
    examples = PhaseExamples(
        folded=part["folded"],
        extras=periodic_class.prepared(part["extras"], centre, width),
        target=stars.target[stars.parts.train],
        classes=len(periodic_class.CLASSES),
    )
    ours = fit_ensemble(examples, recipe, request, twin=False, curves=curves)
    twin = fit_ensemble(examples, recipe, request, twin=True, curves=curves)
    shown = stars.parts.train | stars.parts.calibration
    arrays: dict[str, NDArray[Any]] = {
        "shape": periodic_class.shape_array(ours.config, bins=recipe.bins, members=recipe.members),
        "extras.centre": centre,
        "extras.width": width,
        "priors": np.bincount(stars.target[shown], minlength=len(periodic_class.CLASSES)) / shown.sum(),
        **state_arrays(ours),
        **state_arrays(twin, measured.TWIN),
    }
    request.say("growing trees")
    arrays |= _trees(recipe, stars, seed=request.seed)
    arrays |= _calibration(arrays, stars, config)
    weights = Weights(arrays, {}, "")
    training: dict[str, Plain] = {
        "data": "EROS-1 variable stars, RAMP kit ramp-kits/variable_stars; classes by people",
        "simulated": False,
        "selection": f"stars of four classes that people recognised; {stars.left_out} without a period left out",
        "split": "by star: the kit's test stars are held out, the others a hash of the id",
        "split_seed": SEED,
        "n_train": int(stars.parts.train.sum()),
        "n_calibration": int(stars.parts.calibration.sum()),
        "n_held_out": int(stars.parts.held_out.sum()),
        "class_weight": "1 / class size",
        "calibration": "scale and class biases on half of n_calibration; sets on the rest; ood on both",
        **request.record(recipe, network=True, **curves),
    }
    request.say("measuring scores")
    return write_bundle(request.output, card_of(weights, stars, training, request.variant), arrays)


def _trees(recipe: Recipe, stars: Sample, *, seed: int) -> dict[str, NDArray[Any]]:
    """Grow boosted trees on the numbers beside the light curve, all classes weighing the same."""
    learnt = stars.parts.train
    numbers, target = stars.arrays["extras"][learnt], stars.target[learnt]
    count = np.bincount(target, minlength=len(periodic_class.CLASSES))
    weight = len(target) / (len(count) * np.fmax(count, 1))[target]
    models = [
        fit_boosting(numbers, target, weight, rounds=recipe.rounds, seed=recipe.ensembles * seed + k)
        for k in range(recipe.ensembles)
    ]
    return tree_arrays(models, numbers.shape[1])


def _calibration(arrays: Mapping[str, NDArray[Any]], stars: Sample, config: Config) -> dict[str, NDArray[Any]]:
    """Fit the probabilities on every other calibration star, sets on the rest, novelty on all of them."""
    network = periodic_class.stored_network(config, arrays)
    held, learnt = stars.parts.calibration, stars.parts.train
    (_, shown), (members, features) = (
        periodic_class.member_probabilities(
            network,
            stars.arrays["folded"][part],
            periodic_class.prepared(stars.arrays["extras"][part], arrays["extras.centre"], arrays["extras.width"]),
        )
        for part in (learnt, held)
    )
    trees = BoostedTrees.of_arrays(arrays, stars.arrays["extras"].shape[1])
    raw = periodic_class.joined(
        periodic_class.average(members), periodic_class.tree_probabilities(trees, stars.arrays["extras"][held])
    )
    log, truth = np.log(np.fmax(raw, 1e-12)), stars.target[held]
    first = np.arange(len(truth)) % 2 == 0
    scale, bias = fit_multiclass(log[first], truth[first])
    p = calibrated(log[~first], scale, bias)
    both = np.concatenate([shown, features])
    is_shown = np.arange(len(both)) < len(shown)
    return {
        "calibration": np.array([scale, *bias]),
        "conformal": np.array([set_threshold(p[np.arange(len(p)), truth[~first]], _COVERAGE)]),
        **fit_novelty(
            both,
            np.concatenate([stars.target[learnt], truth]),
            np.arange(both.shape[1], dtype=np.int64),
            is_shown,
            ~is_shown,
        ).to_arrays(),
    }
