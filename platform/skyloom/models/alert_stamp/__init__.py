"""alert-stamp: what a ZTF alert is of, from its three stamps: a star, another galaxy, the solar system.

After the stamp classifiers of ALeRCE (Carrasco-Davis et al. 2021, arXiv:2008.03309) and braai (Duev et
al. 2019, arXiv:1907.11259). Departures: three classes instead of ALeRCE's five (supernovae and active
nuclei are one, there are too few; bogus is none, for want of labels that people gave); stamps are scaled
by their noise and pulled together by asinh; the only features are type and distance of the nearest
Pan-STARRS1 source. Five networks, one for each fold of a cross-validation by object, are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.models.alert_stamp.stamps import FLAGS, N_CONTEXT, Config, inputs_of, reads_of, tensors_of
from skyloom.models.conformal import prediction_sets, set_names
from skyloom.models.novelty import Novelty, pooled_p
from skyloom.models.probabilities import entropy, tempered
from skyloom.runtime.contract import Inputs, Weights
from skyloom.runtime.tensors import TensorInput

if TYPE_CHECKING:
    from skyloom.runtime.networks import Network

__all__ = [
    "CLASSES",
    "FLAGS",
    "FOLDS",
    "NAME",
    "TOLERANCE",
    "Config",
    "Estimator",
    "average",
    "build",
    "inputs",
    "predict",
    "reads",
    "tensors",
    "writes",
]

NAME = "alert-stamp"
TITLE = "Star, other galaxy or solar system: an alert's class from its three stamps"
QUESTION = "predict"
LIBRARIES = ("torch",)

CLASSES = ("star", "extragalactic", "solar-system")
FOLDS = 5
TOLERANCE: Mapping[str, float] = {
    **{
        f"stamp_p_{name}{kind}": 0.01
        for name in ("star", "extragalactic", "solar_system")
        for kind in ("", "_raw")
    },
    "stamp_class": 0.005,
    "stamp_set": 0.01,
    "stamp_p_sd": 0.01,
    "stamp_entropy": 0.02,
    "stamp_ood": 0.05,
}
"""Of each output, as `skyloom.models.card.Card.tolerance` has it: below what the networks differ by."""
TILE_ROWS = 32
"""Rows at once: each is eight images for each of five networks, and partitions of alerts are small."""
CHANNELS_LAST = True
"""Memory order of images on their way through the network: twice as fast on a core."""
_COLUMNS = ("stamp_p_star", "stamp_p_extragalactic", "stamp_p_solar_system")
_WORDS = (
    "a variable or eruptive star",
    "a source in another galaxy: supernova, active nucleus, tidal disruption",
    "a known or unknown solar-system object",
)


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """Networks, what calibrates them, and what each of them was trained on."""

    network: Network
    """Of `StampEnsemble`: one member a fold."""
    temperature: float
    conformal: float
    """Probability that a class must reach to be in the set."""
    novelty: tuple[Novelty, ...]
    """One a member: on its training objects, with the objects of its own fold as reference."""


def tensors(config: Config) -> tuple[TensorInput, ...]:
    """Return the stamps that are read."""
    return tensors_of()


def reads(config: Config) -> tuple[Column, ...]:
    """Return the columns of the alert that are read."""
    return reads_of()


def writes(config: Config) -> tuple[Column, ...]:
    """Return class, probabilities, set of classes, spread, entropy and the out-of-distribution p-value."""
    p, of = "stat.probability;src.class", "float32"
    pairs = tuple(zip(_COLUMNS, _WORDS, strict=True))
    return (
        Column("stamp_class", "", "most probable: star, extragalactic or solar-system", "string", "src.class"),
        *(Column(name, "", f"calibrated probability: {words}", of, p) for name, words in pairs),
        *(Column(f"{name}_raw", "", f"before calibration: {words}", of, p) for name, words in pairs),
        Column("stamp_set", "", "classes: the true one is among them in 90 % of cases", "string", "src.class"),
        Column("stamp_p_sd", "", "spread, over five networks, of the highest probability", of, "stat.stdev"),
        Column("stamp_entropy", "", "entropy of the probabilities: 0 certain, 1 all alike", of, "stat.value"),
        Column("stamp_ood", "", "p-value of being like the training: small is unlike", of, "stat.probability"),
    )


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit.
    """
    if weights is None:
        msg = f"{NAME} needs weights; make them: skyloom model train {NAME} --data DIR --output DIR"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
    from skyloom.models.alert_stamp.network import HIDDEN, StampEnsemble, build_network
    from skyloom.runtime.networks import Network, load_state

    arrays = weights.arrays
    for name in ("temperature", "conformal"):
        if name not in arrays or arrays[name].shape != (1,) or not arrays[name][0] >= 0.0:
            raise DataError(f"weights of {NAME} lack one positive {name}", kind=ErrorKind.BAD_WEIGHTS)
    ensemble = StampEnsemble([build_network(N_CONTEXT, seed=0) for _ in range(FOLDS)])
    load_state(ensemble, arrays)
    return Estimator(
        network=Network(ensemble, tile_rows=TILE_ROWS, channels_last=CHANNELS_LAST),
        temperature=float(arrays["temperature"][0]),
        conformal=float(arrays["conformal"][0]),
        novelty=tuple(Novelty.of_arrays(_of_fold(arrays, k), HIDDEN) for k in range(FOLDS)),
    )


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Turn alerts into scaled stamps and their context; those without usable stamps are left out and flagged."""
    return inputs_of(rows, config)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: stamps (M, 3, 45, 45) and context (M, 3) in, one array of shape (M,) per column out."""
    made = estimator.network(**arrays)
    logits = made["logits"].astype(np.float64)
    raw, each = average(tempered(logits, 1.0)), tempered(logits, estimator.temperature)
    p = average(each)
    of_best = np.take_along_axis(each, p.argmax(axis=1)[:, None, None], axis=2)[:, :, 0]
    away = [novelty.distance(made["hidden"][:, k]) for k, novelty in enumerate(estimator.novelty)]
    return {
        "stamp_class": np.array(CLASSES)[p.argmax(axis=1)],
        **{name: p[:, k].astype(np.float32) for k, name in enumerate(_COLUMNS)},
        **{f"{name}_raw": raw[:, k].astype(np.float32) for k, name in enumerate(_COLUMNS)},
        "stamp_set": set_names(prediction_sets(p, estimator.conformal), CLASSES),
        "stamp_p_sd": of_best.std(axis=1).astype(np.float32),
        "stamp_entropy": entropy(p).astype(np.float32),
        "stamp_ood": pooled_p(away, [novelty.reference for novelty in estimator.novelty]).astype(np.float32),
    }


def average(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over members (M, E, K), shape (M, K): added one after the other, bits independent of M."""
    total = np.zeros((len(members), members.shape[2]))
    for k in range(members.shape[1]):
        total = total + members[:, k]
    return np.asarray(total / members.shape[1])


def _of_fold(arrays: Mapping[str, NDArray[Any]], fold: int) -> dict[str, NDArray[Any]]:
    begin = f"fold.{fold}."
    return {name.removeprefix(begin): values for name, values in arrays.items() if name.startswith(begin)}
