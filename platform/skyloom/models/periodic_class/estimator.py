"""What periodic-class's weights are made of: networks, trees, and the numbers that calibrate them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.features import periodic
from skyloom.models.boosted import BoostedTrees
from skyloom.models.novelty import Novelty, standardise
from skyloom.models.periodic_class.columns import CLASSES, Config
from skyloom.models.probabilities import calibrated, softmax
from skyloom.runtime.contract import Weights

if TYPE_CHECKING:
    from skyloom.models.periodic_class.network import NetworkConfig
    from skyloom.runtime.networks import Network

__all__ = [
    "Estimator",
    "average",
    "estimator_of",
    "joined",
    "member_probabilities",
    "network_config",
    "prepared",
    "probabilities",
    "shape_array",
    "stored_network",
    "tree_probabilities",
]

_SHAPE = ("size", "depth", "width", "max_width")


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """Networks, what calibrates them, and what they were trained on."""

    network: Network
    """Of a `skyloom.models.periodic_class.network.PhaseEnsemble`."""
    trees: BoostedTrees
    """On the numbers beside the light curve."""
    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    """Of the numbers beside the light curve, shape (F,) each: see `skyloom.models.novelty.standardise`."""
    scale: float
    bias: NDArray[np.float64]
    priors: NDArray[np.float64]
    """Share of each class among the calibration rows."""
    conformal: float
    """Probability that a class must reach to be in the set."""
    novelty: Novelty


def network_config(config: Config, shape: NDArray[np.integer]) -> NetworkConfig:
    """Return the shape of the networks, from the numbers that `shape_array` made of it."""
    from skyloom.models.periodic_class.network import Architecture, NetworkConfig

    names = get_args(Architecture)
    return NetworkConfig(
        channels=2 * len(config.bands),
        extras=len(periodic.names_of(config.bands)),
        classes=len(CLASSES),
        architecture=names[int(shape[0]) % len(names)],
        **dict(zip(_SHAPE, (int(n) for n in shape[1:5]), strict=True)),
    )


def shape_array(config: NetworkConfig, *, bins: int, members: int) -> NDArray[np.int64]:
    """Return the shape of an ensemble as numbers, shape (7,): what a bundle keeps of it."""
    from skyloom.models.periodic_class.network import Architecture

    of_config = [getattr(config, name) for name in _SHAPE]
    return np.array([get_args(Architecture).index(config.architecture), *of_config, bins, members])


def estimator_of(config: Config, weights: Weights) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If the settings are not those of the weights.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit each other.
    """
    from skyloom.models.periodic_class.network import HIDDEN

    arrays, n_classes = weights.arrays, len(CLASSES)
    n_extras = len(periodic.names_of(config.bands))
    for name, shape in (
        ("shape", (7,)),
        ("extras.centre", (n_extras,)),
        ("extras.width", (n_extras,)),
        ("calibration", (1 + n_classes,)),
        ("priors", (n_classes,)),
        ("conformal", (1,)),
    ):
        if name not in arrays or arrays[name].shape != shape:
            found = arrays[name].shape if name in arrays else None
            bands = len(config.bands)
            msg = f"weights of periodic-class: {name} has shape {found}, expected {shape} for {bands} bands"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, array=name)
    bins = int(arrays["shape"][5])
    if bins != config.bins:
        msg = f"these weights of periodic-class read {bins} bins of phase; set bins = {bins} or leave it out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, bins=config.bins)
    return Estimator(
        network=stored_network(config, arrays),
        trees=BoostedTrees.of_arrays(arrays, n_extras),
        centre=arrays["extras.centre"],
        width=arrays["extras.width"],
        scale=float(arrays["calibration"][0]),
        bias=arrays["calibration"][1:],
        priors=arrays["priors"],
        conformal=float(arrays["conformal"][0]),
        novelty=Novelty.of_arrays(arrays, HIDDEN),
    )


def stored_network(
    config: Config, arrays: Mapping[str, NDArray[Any]], prefix: str = "net.", *, twin: bool = False
) -> Network:
    """Return the networks whose arrays begin with `prefix`, ready to predict.

    Parameters
    ----------
    config : Config
    arrays : mapping of str to ndarray
        Of a bundle.
    prefix : str
    twin : bool
        Whether they are those of the same shape that pad with zeros.

    Raises
    ------
    DataError
        ``BAD_WEIGHTS`` if the arrays are not those of such networks.
    """
    from skyloom.models.periodic_class.network import TWINS, PhaseEnsemble
    from skyloom.runtime.networks import Network, load_state

    shape = network_config(config, arrays["shape"])
    if twin:
        shape = dataclasses.replace(shape, architecture=TWINS[shape.architecture])
    ensemble = PhaseEnsemble(shape, int(arrays["shape"][6]))
    load_state(ensemble, arrays, prefix)
    return Network(ensemble)


def prepared(
    extras: NDArray[np.float32], centre: NDArray[np.float64], width: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the numbers beside the light curve as the network reads them; missing ones are zero."""
    z = standardise(extras, centre, width)
    return np.where(np.isnan(z), 0.0, z).astype(np.float32)


def member_probabilities(
    network: Network, folded: NDArray[np.float32], extras: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return probabilities (M, members, classes) before calibration, and the first member's features (M, 32).

    Parameters
    ----------
    network : Network
        Of a `skyloom.models.periodic_class.network.PhaseEnsemble`.
    folded : ndarray, shape (M, 2 B, L)
    extras : ndarray, shape (M, F)
        As `prepared` gives them.
    """
    out = network(folded=folded, extras=extras)
    return softmax(out["logits"].astype(np.float64)), out["features"]


def average(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over members (M, members, classes), added one after the other."""
    total = np.zeros((len(members), members.shape[2]))
    for k in range(members.shape[1]):
        total = total + members[:, k]
    return np.asarray(total / members.shape[1])


def joined(networks: NDArray[np.float64], trees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the geometric mean of probabilities (..., classes), made to add to 1: what both agree on."""
    log = 0.5 * (np.log(np.fmax(networks, 1e-12)) + np.log(np.fmax(trees, 1e-12)))
    return softmax(log)


def tree_probabilities(trees: BoostedTrees, extras: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the trees' probabilities (M, classes) from the numbers beside the light curve, missing ones NaN."""
    return softmax(average(trees.scores(extras)))


def probabilities(
    estimator: Estimator, networks: NDArray[np.float64], trees: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities (..., classes) before and after calibration."""
    raw = joined(networks, trees)
    return raw, calibrated(np.log(np.fmax(raw, 1e-12)), estimator.scale, estimator.bias)
