"""gamornet: whether a galaxy is dominated by its disk or by its bulge, from one image.

Source: GaMorNet (Ghosh et al. 2020, ads:2020ApJ...895..112G). Written from its description, with
weights of its own. Departures: the normalisation is AlexNet's, across channels (the published
Keras port pools over px instead); images are stretched by asinh in units of their noise;
dense layers start with a standard deviation of ``1 / sqrt(fan_in)``; the weights shipped are of
a narrower network for 64 px, trained by Adam in few epochs instead of by SGD in hundreds; a
probability is the calibrated average of an ensemble of three; one rule covers the published
decisions of both surveys (disk at or above its threshold, not strictly above).
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
from skyloom.models.conformal import prediction_sets, set_names
from skyloom.models.gamornet.images import FLAGS, read_cutouts
from skyloom.models.novelty import Novelty
from skyloom.models.probabilities import calibrated, entropy, softmax
from skyloom.runtime.contract import Inputs, Weights
from skyloom.runtime.tensors import TensorInput

if TYPE_CHECKING:
    from skyloom.runtime.networks import Network

__all__ = [
    "CLASSES",
    "FLAGS",
    "MEMBERS",
    "NAME",
    "TOLERANCE",
    "Config",
    "Estimator",
    "build",
    "classify",
    "inputs",
    "predict",
    "reads",
    "tensors",
    "writes",
]

NAME = "gamornet"
TITLE = "Disk- or bulge-dominated: a galaxy's class from its image"
QUESTION = "predict"
LIBRARIES = ("torch",)

CLASSES = ("disk", "indeterminate", "bulge")
MEMBERS = 3
TOLERANCE: Mapping[str, float] = {
    **{f"gm_p_{name}{kind}": 0.01 for name in ("disk", "indet", "bulge") for kind in ("", "_raw")},
    "gm_class": 0.005,
    "gm_set": 0.01,
    "gm_p_sd": 0.01,
    "gm_entropy": 0.02,
    "gm_ood": 0.05,
}
"""Of each output, as `skyloom.models.card.Card.tolerance` has it: below what the networks differ by."""
_COLUMNS = ("gm_p_disk", "gm_p_indet", "gm_p_bulge")
_PIXELS = {"small": 0.396, "sdss": 0.396, "candels": 0.06}
_SIZES = {"small": 64, "sdss": 167, "candels": 83}


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the classifier."""

    form: str = "small"
    """``small`` (64 px of 0.396 arcsec), ``sdss`` (167 px of the same) or ``candels`` (83 px of 0.06 arcsec)."""
    disk_threshold: float | None = None
    """Probability from which a galaxy is called a disk; None: that of the weights."""
    bulge_threshold: float | None = None
    """Likewise, a bulge."""
    min_coverage: float = 0.9
    """Share of px with data below which a cutout is not scored."""
    min_snr: float = 20.0
    """Light over noise in the middle below which a cutout is not scored."""

    def __post_init__(self) -> None:
        if self.form not in _SIZES:
            msg = f"form must be one of {', '.join(_SIZES)}, got {self.form!r}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, form=self.form)
        for name in ("disk_threshold", "bulge_threshold", "min_coverage"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                msg = f"{name} must lie between 0 and 1, got {value}"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, parameter=name)
        if not self.min_snr >= 0.0:
            msg = f"min_snr must not be negative, got {self.min_snr}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, min_snr=self.min_snr)


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """Networks, what calibrates them, and what they were trained on."""

    networks: tuple[Network, ...]
    scale: float
    bias: NDArray[np.float64]
    thresholds: tuple[float, float]
    """Of disk and bulge."""
    conformal: float
    """Probability that a class must reach to be in the set."""
    novelty: Novelty


def tensors(config: Config) -> tuple[TensorInput, ...]:
    """Return the image that is read."""
    size = _SIZES[config.form]
    words = "the galaxy in the middle, north up or any way round"
    return (TensorInput("cutout", (1, size, size), "*", words, pixel_arcsec=_PIXELS[config.form]),)


def reads(config: Config) -> tuple[Column, ...]:
    """Return no column: the image is all."""
    return ()


def writes(config: Config) -> tuple[Column, ...]:
    """Return the probabilities, the class, the set of classes, uncertainty and out-of-distribution p-value."""
    p = "stat.probability;src.morph"
    dominated = (
        "dominated by its disk (L_B/L_T < 0.45)",
        "neither (0.45 to 0.55)",
        "dominated by its bulge (> 0.55)",
    )
    pairs = tuple(zip(_COLUMNS, dominated, strict=True))
    return (
        *(Column(name, "", f"calibrated probability: {words}", "float32", p) for name, words in pairs),
        *(Column(f"{name}_raw", "", f"before calibration: {words}", "float32", p) for name, words in pairs),
        Column("gm_class", "", "disk, bulge or indeterminate, by the thresholds", "string", "src.morph.type"),
        Column("gm_set", "", "classes: the true one is among them in 90 % of cases", "string", "src.morph.type"),
        Column("gm_p_sd", "", "spread, over three networks, of the highest probability", "float32", "stat.stdev"),
        Column("gm_entropy", "", "entropy of the probabilities: 0 certain, 1 all alike", "float32", "stat.value"),
        Column("gm_ood", "", "p-value of being like the training: small is unlike", "float32", "stat.value"),
    )  # fmt: skip


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit the form.
    """
    if weights is None:
        msg = f"{NAME} needs weights; make them: `skyloom model train gamornet --output DIR`"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
    from skyloom.models.gamornet.network import FORMS, build_network
    from skyloom.runtime.networks import Network, load_state

    arrays, form = weights.arrays, FORMS[config.form]
    for name, shape in (("calibration", (4,)), ("thresholds", (2,)), ("conformal", (1,))):
        if name not in arrays or arrays[name].shape != shape:
            raise DataError(f"weights of {NAME} lack {name} of shape {shape}", kind=ErrorKind.BAD_WEIGHTS)
    given = (config.disk_threshold, config.bulge_threshold)
    disk, bulge = (
        float(stored if set_ is None else set_) for stored, set_ in zip(arrays["thresholds"], given, strict=True)
    )
    members = [build_network(form, seed=0) for _ in range(MEMBERS)]
    for k, member in enumerate(members):
        load_state(member, arrays, f"net.{k}.")
    return Estimator(
        networks=tuple(Network(member) for member in members),
        scale=float(arrays["calibration"][0]),
        bias=arrays["calibration"][1:].astype(np.float64),
        thresholds=(disk, bulge),
        conformal=float(arrays["conformal"][0]),
        novelty=Novelty.of_arrays(arrays, form.dense),
    )


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Turn cutouts into stretched images; those without data or light are left out and flagged."""
    images, flag, scorable = read_cutouts(
        rows, _SIZES[config.form], min_coverage=config.min_coverage, min_snr=config.min_snr
    )
    return Inputs({"image": images}, flag, scorable)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: images (M, 1, size, size) in, one array of shape (M,) per column of `writes`."""
    members, hidden = member_probabilities(estimator, arrays["image"])
    raw = average(members)
    p = calibrated(np.log(np.fmax(raw, 1e-12)), estimator.scale, estimator.bias)
    each = calibrated(np.log(np.fmax(members, 1e-12)), estimator.scale, estimator.bias)
    of_best = np.take_along_axis(each, p.argmax(axis=1)[None, :, None], axis=2)[:, :, 0]
    return {
        **{name: p[:, k].astype(np.float32) for k, name in enumerate(_COLUMNS)},
        **{f"{name}_raw": raw[:, k].astype(np.float32) for k, name in enumerate(_COLUMNS)},
        "gm_class": np.array(CLASSES)[classify(p, *estimator.thresholds)],
        "gm_set": set_names(prediction_sets(p, estimator.conformal), CLASSES),
        "gm_p_sd": of_best.std(axis=0).astype(np.float32),
        "gm_entropy": entropy(p).astype(np.float32),
        "gm_ood": estimator.novelty.p_value(hidden).astype(np.float32),
    }


def classify(p: NDArray[np.floating], disk_threshold: float, bulge_threshold: float) -> NDArray[np.int64]:
    """Return the place in `CLASSES` of each row of probabilities (N, 3): a pure function of its arguments.

    A bulge from its threshold on; else a disk if that is the most probable class and reaches its
    own; else indeterminate. Two thresholds of 0.8 are the paper's rule for SDSS, 0.36 and
    0.55 that for CANDELS.
    """
    bulge = p[:, 2] >= bulge_threshold
    disk = ~bulge & (p[:, 0] >= disk_threshold) & (p.argmax(axis=1) == 0)
    return np.where(bulge, 2, np.where(disk, 0, 1))


def member_probabilities(
    estimator: Estimator, images: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return probabilities (members, M, 3) and the first network's hidden activations (M, dense)."""
    from skyloom.models.gamornet.network import outputs

    made = [outputs(network, images) for network in estimator.networks]
    return np.stack([softmax(logits) for logits, _ in made]), made[0][1]


def average(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the members, added one after the other."""
    total = np.zeros(members.shape[1:])
    for p in members:
        total = total + p
    return total / len(members)
