"""Train vraenn on the common transients of PLAsTiCC: the autoencoder, what it is compared with, the forest.

    skyloom model train vraenn --data DATA --output DIR

No rare class is shown to any part; of class labels it is used only which objects are common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.split import FRACTIONS, SEED
from skyloom.evaluation.vraenn_sample import COMMON, Sample, sample, transient_rows
from skyloom.models import vraenn
from skyloom.models.card import Card, Plain
from skyloom.models.vraenn.rows import SEQUENCE
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.training.learners import TrainRequest
from skyloom.training.transient_anomaly import forest_arrays
from skyloom.training.vraenn_card import card_of

if TYPE_CHECKING:
    import torch

    from skyloom.models.vraenn.network import Vraenn
    from skyloom.training.loop import History

__all__ = ["Recipe", "grow", "train"]

_TINY = 1e-6
_GROUPS = 8
"""Of brightness above the noise, in which the usual distance is measured."""
_JUDGES = 10
"""One training object in so many judges the epochs."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Size of the network, and how long is trained."""

    width: int = 48
    """Of each recurrent layer."""
    epochs: int = 10
    batch_rows: int = 128
    rate: float = 4e-3
    divergence: float = 1e-4
    """Weight of the Kullback-Leibler divergence beside the misfit."""
    trees: int = 100
    points: int = 256
    """That each tree sees, at most."""

    def __post_init__(self) -> None:
        if min(self.trees, self.width) < 1 or self.points < 2 or not self.divergence >= 0.0:
            msg = f"trees and width are positive, points at least 2 and divergence not negative, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Fit, train, grow, and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its data are a table as `skyloom.evaluation.plasticc.plasticc_rows` gives it, or its folder.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on the held-out transients.

    Raises
    ------
    NotFoundError
        If the data are not there.
    SpecError, DataError
        As `skyloom.training.loop.fit`.
    """
    from skyloom.runtime.networks import state_arrays

    request.say("fitting Gaussian processes")
    rows = transient_rows(request.data)
    whole = sample(rows, vraenn.Config())
    shown, reference = (part & ~whole.rare for part in (whole.parts.train, whole.parts.calibration))
    curves: dict[str, History] = {}
    network = _autoencoder(recipe, whole.at(shown), request, curves)
    arrays: dict[str, NDArray[Any]] = {"shape": np.array([recipe.width]), **state_arrays(network)}
    request.say("growing trees")
    mean = _encodings(network, whole)
    there = whole.arrays["there"]
    centre, width = (np.asarray(of(mean[shown, -1], axis=0, dtype=np.float64)) for of in (np.mean, np.std))
    z = vraenn.standardised(mean, centre, np.fmax(width, _TINY))
    arrays |= {"centre": centre, "width": np.fmax(width, _TINY)}
    # Young light curves are compared with young ones, too: a score is the same whenever it is asked for.
    arrays["common"] = z[shown][there[shown]].astype(np.float16)
    arrays |= grow(z[shown, -1].astype(np.float32), recipe, seed=request.seed)
    arrays |= _reference(arrays, z[reference], whole.at(reference))
    training: dict[str, Plain] = {
        "data": "PLAsTiCC training set, simulated LSST objects (doi:10.5281/zenodo.2539456)",
        "simulated": True,
        "selection": f"bright objects with spectra of {', '.join(COMMON.values())}; {whole.left_out} transients "
        "without a detection, a redshift or enough points left out",
        "split": f"by object, hash of object_id: {FRACTIONS[0]:.0%} train, {FRACTIONS[1]:.0%} reference, "
        f"{FRACTIONS[2]:.0%} held out",
        "split_seed": SEED,
        "n_train": int(shown.sum()),
        "n_reference": int(reference.sum()),
        "n_held_out": int(whole.parts.held_out.sum()),
        **request.record(recipe, network=True, **curves),
    }
    request.say("measuring scores")
    weights = Weights(arrays, {}, "")
    return write_bundle(request.output, card_of(weights, rows, whole, training, request.variant), arrays)


def grow(z: NDArray[np.float32], recipe: Recipe, *, seed: int) -> dict[str, NDArray[Any]]:
    """Grow one forest on standardised encodings (M, 10), and return it as arrays of a bundle."""
    from coniferest.isoforest import IsolationForest

    points = min(recipe.points, len(z))
    forest = IsolationForest(n_trees=recipe.trees, n_subsamples=points, random_seed=1000 * seed, n_jobs=1)
    return forest_arrays([forest.fit(np.ascontiguousarray(z))])


def _reference(
    arrays: dict[str, NDArray[Any]], z: NDArray[np.float64], held: dict[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return which distances are usual, by brightness, and scores of whole light curves: of objects kept apart."""
    from scipy.spatial import KDTree

    m, cuts, _ = z.shape
    distance = vraenn.distances(KDTree(arrays["common"].astype(np.float64)), z.reshape(m * cuts, -1))
    above = -held["peak"] - held["limit"]
    there = held["there"]
    order = np.argsort(above[there], kind="stable")
    groups = [part for part in np.array_split(order, _GROUPS) if len(part)]
    pairs = np.array(
        [[np.median(of[group]) for group in groups] for of in (above[there], distance[there.ravel()])]
    )
    usual = np.fmax(pairs.astype(np.float64), _TINY)
    score = distance.reshape(m, cuts)[:, -1] / vraenn.expected(above[:, -1], usual)
    return {"usual": usual, "reference": np.sort(score)}


def _encodings(network: Vraenn, whole: Sample) -> NDArray[np.float32]:
    """Return the mean encodings of all light curves at all their cuts, (M, C, 10)."""
    from skyloom.runtime.networks import Network

    m, cuts = whole.arrays["there"].shape
    flat = {name: whole.arrays[name].reshape(m * cuts, *whole.arrays[name].shape[2:]) for name in SEQUENCE}
    return vraenn.encode(Network(network), flat).mean.reshape(m, cuts, -1)


def _autoencoder(
    recipe: Recipe, shown: dict[str, NDArray[Any]], request: TrainRequest, curves: dict[str, History]
) -> Vraenn:
    """Train on the light curves shown, at all their cuts: an object judges with all of them, or with none."""
    from skyloom.models.vraenn.network import NetworkConfig, make_network
    from skyloom.training.loop import ArrayExamples, LoopConfig, fit

    judges = np.arange(len(shown["there"])) % _JUDGES == 0
    parts = []
    for rows in (~judges, judges):
        there = shown["there"][rows]
        arrays = {name: shown[name][rows][there] for name in SEQUENCE}
        parts.append(ArrayExamples(arrays, np.zeros(len(arrays["limit"]), dtype=np.float32)))
    network = make_network(NetworkConfig(width=recipe.width), seed=request.seed)
    curves["autoencoder"] = fit(
        network,
        parts[0],
        parts[1],
        loss=_loss(recipe.divergence),
        config=LoopConfig(
            epochs=recipe.epochs,
            batch_rows=recipe.batch_rows,
            learning_rate=recipe.rate,
            optimiser="adamw",
            weight_decay=1e-4,
            clip_norm=1.0,
            seed=request.seed,
        ),
        folder=request.folder("autoencoder"),
        device=request.device,
        progress=request.watch("autoencoder"),
        resume=request.resume,
    )
    return network


def _loss(weight: float) -> Any:
    """Return what is minimised; its target is the light curve itself, which the network has already compared."""
    from skyloom.models.vraenn.network import divergence

    def misfit_and_divergence(outputs: dict[str, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        return outputs["misfit"].mean() + weight * divergence(outputs["mean"], outputs["log_var"]).mean()

    return misfit_and_divergence
