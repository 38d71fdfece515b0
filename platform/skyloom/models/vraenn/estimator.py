"""What vraenn's weights are made of: an autoencoder, what encodings are compared with, and a forest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind
from skyloom.models.isolation import IsolationForests
from skyloom.models.vraenn.columns import LATENTS
from skyloom.models.vraenn.rows import SEQUENCE
from skyloom.runtime.contract import Weights

if TYPE_CHECKING:
    from scipy.spatial import KDTree

    from skyloom.runtime.networks import Network

__all__ = [
    "DRAWS",
    "NEIGHBOURS",
    "Encodings",
    "Estimator",
    "distances",
    "drawn",
    "encode",
    "estimator_of",
    "expected",
    "forest_scores",
    "standardised",
]

NEIGHBOURS = 10
"""Encodings of common transients whose mean distance is compared with that of other common ones."""

DRAWS = 8
"""Draws of each encoding, for the uncertainty of its score: the same ones for every row."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """The network, what encodings are compared with, and the scores of the reference objects, ascending."""

    network: Network
    """Of a `skyloom.models.vraenn.network.Vraenn`."""
    common: KDTree
    """Of the encodings of common transients, standardised."""
    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    """Of `standardised`, shape (10,) each."""
    usual: NDArray[np.float64]
    """Of `expected`, shape (2, K)."""
    forests: IsolationForests
    """On the same encodings."""
    reference: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Encodings:
    """Of M light curves: mean and standard deviation (M, 10), and how badly the decoded one fits (M,)."""

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    misfit: NDArray[np.float32]


def estimator_of(weights: Weights) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit each other.
    """
    from scipy.spatial import KDTree

    from skyloom.models.vraenn.network import NetworkConfig, make_network
    from skyloom.runtime.networks import Network, load_state

    arrays = weights.arrays
    for name, shape in (
        ("shape", (1,)),
        ("centre", (LATENTS,)),
        ("width", (LATENTS,)),
        ("common", (None, LATENTS)),
        ("usual", (2, None)),
        ("reference", (None,)),
    ):
        found = arrays[name].shape if name in arrays else ()
        fits = len(found) == len(shape) and all(b in {None, a} for a, b in zip(found, shape, strict=True))
        if not fits or not all(found):
            msg = f"weights of vraenn: {name} is missing or of another version; rebuild them"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, array=name)
    network = make_network(NetworkConfig(width=int(arrays["shape"][0])))
    load_state(network, arrays)
    return Estimator(
        network=Network(network),
        common=KDTree(arrays["common"].astype(np.float64)),
        centre=arrays["centre"],
        width=arrays["width"],
        usual=arrays["usual"],
        forests=IsolationForests.of_arrays(arrays, LATENTS),
        reference=arrays["reference"],
    )


def encode(network: Network, arrays: Mapping[str, NDArray[Any]]) -> Encodings:
    """Encode M light curves, given as `SEQUENCE` with rows first."""
    out = network(**{name: arrays[name] for name in SEQUENCE})
    return Encodings(out["mean"], np.exp(0.5 * out["log_var"]), out["misfit"])


def standardised(
    mean: NDArray[np.float32], centre: NDArray[np.float64], width: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return encodings (M, 10) in units of the scatter of common transients."""
    return np.asarray((mean.astype(np.float64) - centre) / width)


def distances(common: KDTree, z: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the mean distance from standardised encodings (M, 10) to their nearest common ones, shape (M,)."""
    nearest = common.query(z, k=min(NEIGHBOURS, common.n))[0].reshape(len(z), -1)
    total = np.zeros(len(z))
    for column in nearest.T:  # one after the other: a mean's order of additions may depend on the shape
        total = total + column
    return np.asarray((total / nearest.shape[1]).astype(np.float32))


def expected(above_mag: NDArray[np.floating], usual: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the distance that common transients of like brightness have, shape as `above_mag`.

    A faint light curve is encoded less surely, and lies further from all others: that alone is not odd.

    Parameters
    ----------
    above_mag : ndarray, shape (...)
        Magnitudes of the brightest point above the noise.
    usual : ndarray of float64, shape (2, K)
        Such magnitudes, ascending, and the median distance of common transients there.
    """
    return np.asarray(np.interp(above_mag.astype(np.float64), *usual).astype(np.float32))


def drawn(estimator: Estimator, encodings: Encodings, above_mag: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation of the score over draws of the encoding, shape (M,)."""
    normal = np.random.default_rng(0).normal(size=(DRAWS, LATENTS)).astype(np.float32)
    total, squares = np.zeros(len(above_mag)), np.zeros(len(above_mag))
    for draw in normal:  # one after the other: a reduction's order of additions may depend on the shape
        z = standardised(encodings.mean + draw * encodings.sd, estimator.centre, estimator.width)
        distance = distances(estimator.common, z).astype(np.float64)
        total, squares = total + distance, squares + distance * distance
    variance = (squares - total * total / DRAWS) / (DRAWS - 1)
    spread = np.sqrt(np.fmax(variance, 0.0)) / expected(above_mag, estimator.usual)
    return np.asarray(spread.astype(np.float32))


def forest_scores(forests: IsolationForests, z: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return ``2 ** (-E[h] / c)``, shape (M,), of standardised encodings (M, 10)."""
    paths = forests.paths(z.astype(np.float32), parts=1)[:, 0, 0]
    return np.asarray((2.0 ** (-paths / forests.scale[0])).astype(np.float32))
