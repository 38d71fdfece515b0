"""periodic-class: the period of a variable star, and its class from the folded light curve.

Source: Zhang & Bloom 2021 (ads:2021MNRAS.505..515Z), whose iTCN gives the same answer wherever phase is
counted from. Departures: the period is found by the platform (`skyloom.features.periods`) and not
given; the light curve is averaged in bins of phase, passbands side by side; beside it the network
reads shape, colour and significance (`skyloom.features.periodic`) instead of three numbers;
networks are narrower, trained with classes weighted alike, averaged over five seeds and calibrated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.features import periodic
from skyloom.models.conformal import prediction_sets, set_names
from skyloom.models.novelty import Novelty, standardise
from skyloom.models.periodic_class.columns import (
    CLASSES,
    FLAGS,
    Config,
    inputs_of,
    period_columns,
    reads_of,
    writes_of,
)
from skyloom.models.probabilities import calibrated, entropy, softmax
from skyloom.runtime.contract import Inputs, Weights

if TYPE_CHECKING:
    from skyloom.models.periodic_class.network import NetworkConfig
    from skyloom.runtime.networks import Network

__all__ = [
    "CLASSES",
    "FLAGS",
    "NAME",
    "Config",
    "Estimator",
    "average",
    "build",
    "classify",
    "inputs",
    "member_probabilities",
    "network_config",
    "predict",
    "prepared",
    "reads",
    "shape_array",
    "stored_network",
    "writes",
]

NAME = "periodic-class"
TITLE = "Period and class of a periodic variable star"
QUESTION = "predict"
LIBRARIES = ("torch",)

_SHAPE = ("size", "depth", "width", "max_width")


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """Networks, what calibrates them, and what they were trained on."""

    network: Network
    """Of a `skyloom.models.periodic_class.network.PhaseEnsemble`."""
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


def reads(config: Config) -> tuple[Column, ...]:
    """Return the columns read: times, magnitudes, errors and labels of the points."""
    return reads_of()


def writes(config: Config) -> tuple[Column, ...]:
    """Return the class, its probabilities and their uncertainty, and the period and its quality."""
    return writes_of()


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


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights, or the settings are not theirs.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit each other.
    """
    if weights is None:
        msg = f"{NAME} needs weights; `skyloom model describe {NAME}` lists those there are"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
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
            msg = f"weights of {NAME}: {name} has shape {found}, expected {shape} for {len(config.bands)} bands"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=NAME, array=name)
    bins = int(arrays["shape"][5])
    if bins != config.bins:
        msg = f"these weights of {NAME} read {bins} bins of phase; set bins = {bins} or leave it out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, bins=config.bins)
    return Estimator(
        network=stored_network(config, arrays),
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


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Find periods and fold; rows without a period are left out and flagged."""
    return inputs_of(rows, config)


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


def classify(p: NDArray[np.float64], priors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the place of the class that gains most on its share: the likeliest, were all equally common."""
    return np.asarray((p / priors).argmax(axis=1))


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: what `inputs` made, to one array of shape (M,) per column of `writes`."""
    extras = prepared(arrays["extras"], estimator.centre, estimator.width)
    members, features = member_probabilities(estimator.network, arrays["folded"], extras)
    raw = average(members)
    p = calibrated(np.log(np.fmax(raw, 1e-12)), estimator.scale, estimator.bias)
    each = calibrated(np.log(np.fmax(members, 1e-12)), estimator.scale, estimator.bias)
    best = classify(p, estimator.priors)
    of_best = np.take_along_axis(each, best[:, None, None], axis=2)[:, :, 0]
    return {
        "vs_class": np.array(CLASSES)[best],
        **{f"vs_p_{c}": p[:, k].astype(np.float32) for k, c in enumerate(CLASSES)},
        **{f"vs_p_{c}_raw": raw[:, k].astype(np.float32) for k, c in enumerate(CLASSES)},
        "vs_set": set_names(prediction_sets(p, estimator.conformal), CLASSES),
        "vs_p_sd": of_best.std(axis=1).astype(np.float32),
        "vs_entropy": entropy(p).astype(np.float32),
        "vs_ood": estimator.novelty.p_value(features).astype(np.float32),
        **period_columns(dict(arrays)),
    }
