"""Train flares on simulated stars: ten seeds, split by star.

    skyloom model train flares --output DIR

Nothing real is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.flare_sample import Star, labels_of, parts_of_stars, stars_of, windows
from skyloom.evaluation.split import SEED
from skyloom.models.card import Card, Plain
from skyloom.models.flares.curves import CHANNELS
from skyloom.models.flares.estimator import shape_array
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.training.flares_calibration import calibration_arrays
from skyloom.training.flares_card import card_of
from skyloom.training.learners import TrainRequest

if TYPE_CHECKING:
    import torch

    from skyloom.models.flares.network import FlareEnsemble
    from skyloom.training.loop import History

__all__ = ["Recipe", "train"]

_JUDGES = 10
"""One training star in so many judges the epochs."""
_BRIGHT = 2.0
"""Cadences without a flare that stand out by more than this (asinh of sigmas) are hard to tell."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How many stars are simulated, the shape of the networks, and how long is trained."""

    stars: int = 400
    """Simulated: 60 % train, 15 % calibrate, 25 % are held out."""
    days: float = 27.4
    """Length of a sector."""
    width: int = 16
    """Filters of the first convolution; the others have twice as many."""
    hidden: int = 16
    dropout: float = 0.2
    members: int = 10
    epochs: int = 8
    batch_rows: int = 128
    rate: float = 2e-3
    per_flare: int = 3
    """Windows about cadences of each flare, the peak among them."""
    most_flaring: int = 60
    """Windows in flares, per star."""
    quiet: int = 40
    """Windows about cadences drawn from all without a flare, per star."""
    bright: int = 40
    """Likewise, from those that stand out."""

    def __post_init__(self) -> None:
        counts = (self.stars, self.width, self.hidden, self.members, self.epochs, self.per_flare)
        if min(counts) < 1 or min(self.most_flaring, self.quiet, self.bright) < 1:
            msg = f"counts are positive, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Simulate, train, calibrate, and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its data, if any, are the folder of real light curves: for scores alone.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on held-out stars, and on real ones where their data are there.

    Raises
    ------
    SpecError, DataError
        As `skyloom.training.loop.fit`.
    """
    from skyloom.runtime.networks import state_arrays

    request.say("simulating stars")
    numbers = np.arange(recipe.stars)
    parts = parts_of_stars(numbers)
    shown, calibrating = (
        stars_of(numbers[part].tolist(), seed=request.seed, days=recipe.days)
        for part in (parts.train, parts.calibration)
    )
    examples = _examples(shown, recipe, seed=request.seed)
    curves: dict[str, History] = {}
    ensemble = _ensemble(recipe, examples, request, curves)
    arrays: dict[str, NDArray[Any]] = {
        "shape": shape_array(ensemble.config, recipe.members),
        **state_arrays(ensemble),
    }
    request.say("calibrating")
    arrays |= calibration_arrays(arrays, shown, calibrating)
    weights = Weights(arrays, {}, "")
    training: dict[str, Plain] = {
        "data": "stars simulated by skyloom.simulators.flares",
        "simulated": True,
        "selection": "all simulated stars; ranges are settings of the simulation",
        "split": "by star: a hash of its number",
        "split_seed": SEED,
        "n_train": len(shown),
        "n_calibration": len(calibrating),
        "n_held_out": int(parts.held_out.sum()),
        "n_windows": len(examples.label),
        "share_flaring": round(float(examples.label.mean()), 4),
        "label_noise": "flares below 3 sigma are not labelled, 5 % of the others mistimed by 3 cadences",
        "calibration": "isotonic, of cadences and of events, and the threshold, on n_calibration; ood on both",
        **request.record(recipe, network=True, **curves),
    }
    request.say("measuring scores")
    return write_bundle(request.output, card_of(weights, training, request), arrays)


@dataclass(frozen=True, slots=True, eq=False)
class _Examples:
    windows: NDArray[np.float32]
    label: NDArray[np.int64]
    star: NDArray[np.int64]


def _examples(stars: list[Star], recipe: Recipe, *, seed: int) -> _Examples:
    """Draw windows in flares, in the quiet, and about what stands out without being a flare."""
    parts: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]] = []
    for star in stars:
        rng = np.random.default_rng([seed, star.number, 1])
        label = labels_of(star, people=rng)
        label[~star.curve.judged | ~star.curve.seen] = -1
        flaring = _flaring(star, label, recipe, rng)
        none = np.flatnonzero(label == 0)
        standing = np.flatnonzero((label == 0) & (star.curve.channels.max(axis=0) > _BRIGHT))
        quiet = [
            rng.choice(of, min(n, len(of)), replace=False)
            for of, n in ((none, recipe.quiet), (standing, recipe.bright))
        ]
        nodes = np.concatenate([flaring, *quiet])
        target = np.arange(len(nodes)) < len(flaring)
        parts.append((windows(star.curve, nodes), target.astype(np.int64), np.full(len(nodes), star.number)))
    return _Examples(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _flaring(star: Star, label: NDArray[np.int8], recipe: Recipe, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return nodes in flares: of each the peak, and others that are drawn."""
    inside = label == 1
    peaks = star.peaks[inside[star.peaks]]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False]))))
    drawn = [rng.integers(a, b, recipe.per_flare - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    nodes = np.unique(np.concatenate([peaks, *drawn]).astype(np.int64))
    return rng.permutation(nodes)[: recipe.most_flaring]


def _ensemble(
    recipe: Recipe, examples: _Examples, request: TrainRequest, curves: dict[str, History]
) -> FlareEnsemble:
    """Train as many networks from as many seeds; their histories go into `curves`."""
    from skyloom.models.flares.network import FlareEnsemble, NetworkConfig, make_network
    from skyloom.training.loop import ArrayExamples, LoopConfig, fit

    config = NetworkConfig(
        CHANNELS, (recipe.width, 2 * recipe.width, 2 * recipe.width), recipe.hidden, recipe.dropout
    )
    judges = np.searchsorted(np.unique(examples.star), examples.star) % _JUDGES == 0
    ensemble = FlareEnsemble(config, recipe.members)
    for k in range(recipe.members):
        seed = 100 * request.seed + k
        member, stage = make_network(config, seed=seed), f"member-{k}"
        curves[stage] = fit(
            member,
            ArrayExamples({"windows": examples.windows[~judges]}, examples.label[~judges]),
            ArrayExamples({"windows": examples.windows[judges]}, examples.label[judges]),
            loss=binary_cross_entropy,
            config=LoopConfig(
                epochs=recipe.epochs, batch_rows=recipe.batch_rows, learning_rate=recipe.rate, seed=seed
            ),
            folder=request.folder(stage),
            augment=_Louder(),
            device=request.device,
            progress=request.watch(stage),
            resume=request.resume,
        )
        ensemble.members[k].load_state_dict(member.state_dict())
    return ensemble


class _Louder:
    """Scales a batch's windows by up to 15 %: the noise of a light curve is not known better than that."""

    def __call__(self, arrays: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        shown = arrays["windows"]
        return {**arrays, "windows": shown * rng.uniform(0.85, 1.15, (len(shown), 1, 1)).astype(np.float32)}


def binary_cross_entropy(outputs: dict[str, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of logits and labels."""
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(outputs["out"], target.float())
