"""Train gamornet: on simple simulations, then by transfer on few labels of the harder domain.

    skyloom model train gamornet --output weights/gamornet/small

Everything is simulated, unless a labelled catalog is named: then its rows take the place of the
harder domain. Beside the networks after transfer the bundle keeps two that show what transfer
brings: one trained on the few labels alone, one on the simple simulations alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.calibration import fit_multiclass
from skyloom.evaluation.gamornet import purity_table
from skyloom.evaluation.gamornet_galaxies import SURVEY_OF, Sample, sample
from skyloom.models import gamornet
from skyloom.models.card import Card, Plain
from skyloom.models.conformal import set_threshold
from skyloom.models.probabilities import calibrated, softmax
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.training.gamornet_card import card_of
from skyloom.training.gamornet_sky import sky_of
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import fit_novelty

if TYPE_CHECKING:
    from skyloom.models.gamornet.network import GaMorNet
    from skyloom.training.loop import History

__all__ = ["CATALOGS", "RECIPES", "Recipe", "train", "transferred"]

CATALOGS = True

RECIPES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "sdss": ((1, 2, 3, 4, 5), ()),
    "candels": ((1, 2, 3, 4, 5, 6), (1, 2, 3)),
}
"""Weight layers that are loaded, and those of them that are frozen."""

_PURITY = (0.97, 0.92)
"""Of disks and bulges, that the thresholds are to reach on calibration galaxies."""
_COVERAGE = 0.9
_GRID = np.round(np.arange(0.36, 0.996, 0.01), 2)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much is simulated and how long is trained."""

    form: str = "small"
    transfer: str = "candels"
    n_simulated: int = 10_000
    n_labels: int = 2_000
    """Galaxies of the harder domain; of no meaning, like the next two, where a labelled catalog is named."""
    n_calibration: int = 1_500
    n_held_out: int = 2_500
    epochs: int = 60
    transfer_epochs: int = 80
    scratch_epochs: int = 120
    rate: float = 1e-3
    transfer_rate: float = 5e-4

    def __post_init__(self) -> None:
        if self.transfer not in RECIPES or self.form not in SURVEY_OF:
            known = f"{[*RECIPES]}, {[*SURVEY_OF]}"
            msg = f"no recipe {self.transfer!r} or form {self.form!r}; there are {known}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if min(self.n_simulated, self.n_labels, self.n_calibration, self.n_held_out) < 50:
            msg = "a recipe needs at least 50 galaxies of each kind"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Simulate, train, transfer, calibrate, and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its seed is that of the galaxies and of the training; its data, if any, are a labelled catalog.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on held-out galaxies.

    Raises
    ------
    SpecError
        If a table or folder is given, or as `skyloom.training.loop.fit`.
    DataError
        As `skyloom.evaluation.gamornet.labelled_parts`.
    """
    from skyloom.models.gamornet.network import FORMS, build_network, outputs
    from skyloom.runtime.networks import state_arrays
    from skyloom.training.gamornet_fit import fit_stage

    seed, form = request.seed, FORMS[recipe.form]
    sky = sky_of(request, request.record(recipe), n_calibration=recipe.n_calibration)
    request.say("drawing galaxies")
    simple = sample(recipe.form, recipe.n_simulated, seed=seed, domain="simulated")
    shown, held = sky.test.shown, sky.calibration
    curves: dict[str, History] = {}
    base, scratch = build_network(form, seed=seed), build_network(form, seed=seed + 1)
    for stage, net, part, epochs in (
        ("simulation", base, simple, recipe.epochs),
        ("scratch", scratch, shown, recipe.scratch_epochs),
    ):
        curves[stage] = fit_stage(
            net, part, request=request, stage=stage, epochs=epochs, rate=recipe.rate, seed=seed
        )
    arrays = {**state_arrays(base, "baseline.simulation."), **state_arrays(scratch, "baseline.scratch.")}
    members = []
    for k in range(gamornet.MEMBERS):
        net, curves[f"transfer-{k}"] = transferred(base, shown, recipe, request=request, member=k)
        members.append(net)
        arrays |= state_arrays(net, f"net.{k}.")
    raw = np.stack([softmax(outputs(net, held.images)[0]) for net in members]).mean(axis=0)
    arrays |= _calibration(raw, held.label)
    arrays |= _novelty(outputs(members[0], shown.images)[1], shown.label, outputs(members[0], held.images)[1])
    weights = Weights(arrays, {}, "")
    estimator = gamornet.build(gamornet.Config(form=recipe.form), weights)
    training: dict[str, Plain] = {
        **sky.words,
        "members": gamornet.MEMBERS,
        "calibration": "scale and class biases on half of its galaxies; thresholds, sets and ood on the rest",
        "disk_threshold": estimator.thresholds[0],
        "bulge_threshold": estimator.thresholds[1],
        **request.record(recipe, network=True, **curves),
    }
    request.say("measuring scores")
    return write_bundle(request.output, card_of(weights, training, request.variant, test=sky.test), arrays)


def transferred(
    base: GaMorNet, shown: Sample, recipe: Recipe, *, request: TrainRequest, member: int
) -> tuple[GaMorNet, History]:
    """Return a network with layers of `base`, trained on `shown`; the frozen ones stay bit for bit.

    Layers that are not loaded start anew from the member's seed: that, and the order, makes the
    members differ.
    """
    from skyloom.models.gamornet.network import FORMS, build_network, copy_layers, freeze
    from skyloom.training.gamornet_fit import fit_stage

    loaded, frozen = RECIPES[recipe.transfer]
    seed = 10 * request.seed + member
    net = build_network(FORMS[recipe.form], seed=seed + 2)
    copy_layers(base, net, loaded)
    freeze(net, frozen)
    curve = fit_stage(
        net,
        shown,
        request=request,
        stage=f"transfer-{member}",
        epochs=recipe.transfer_epochs,
        rate=recipe.transfer_rate,
        seed=seed,
    )
    return net, curve


def _calibration(raw: NDArray[np.float64], label: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Fit the probabilities on the first half; thresholds and sets on the second."""
    half = len(label) // 2
    log = np.log(np.fmax(raw, 1e-12))
    scale, bias = fit_multiclass(log[:half], label[:half])
    p, truth = calibrated(log[half:], scale, bias), label[half:]
    own = p[np.arange(len(truth)), truth]
    return {
        "calibration": np.array([scale, *bias]),
        "thresholds": np.array([_threshold(p, truth, 0), _threshold(p, truth, 2)]),
        "conformal": np.array([set_threshold(own, _COVERAGE)]),
    }


def _threshold(p: NDArray[np.float64], truth: NDArray[np.int64], which: int) -> float:
    """Return the least threshold whose class has the purity wanted; the highest where none has."""
    column, wanted = (0, _PURITY[0]) if which == 0 else (2, _PURITY[1])
    for least in _GRID:
        pair = (float(least), 2.0) if which == 0 else (2.0, float(least))
        if purity_table(gamornet.classify(p, *pair), truth)[column] >= wanted:
            return float(least)
    return float(_GRID[-1])


def _novelty(
    hidden: NDArray[np.float32], label: NDArray[np.int64], reference: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    both = np.concatenate([hidden, reference])
    target = np.concatenate([label, np.zeros(len(reference), dtype=np.int64)])
    first = np.arange(len(both)) < len(hidden)
    columns = np.arange(hidden.shape[1], dtype=np.int64)
    return fit_novelty(both, target, columns, first, ~first).to_arrays()
