"""radio-galaxy: FR I or FR II, from one radio image, by networks that do not see how the sky is turned.

Source: Scaife & Porter 2021, MNRAS 503, 2369 (ads:2021MNRAS.503.2369S): a LeNet whose convolutions
are equivariant, beside a plain one. Departures beside those that `network` lists: images are
averaged over 3 px (5.4 arcsec, FIRST's beam) after the mask, which leaves a third of the work;
a probability is the tempered mean of the logits of five networks, in place of one with dropout
left on; and every column that says how far to trust it (spreads, set, p-value) is ours.
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
from skyloom.models.novelty import Novelty
from skyloom.models.radio_galaxy.columns import FLAGS, Config, inputs_of, tensors_of
from skyloom.models.radio_galaxy.outputs import CLASSES, columns_of, writes_of
from skyloom.runtime.contract import Inputs, Weights
from skyloom.runtime.tensors import TensorInput

if TYPE_CHECKING:
    from skyloom.models.radio_galaxy.network import LeNetConfig
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
    "inputs",
    "predict",
    "reads",
    "shape_of",
    "tensors",
    "writes",
]

NAME = "radio-galaxy"
TITLE = "FR I or FR II: a radio galaxy's class from its image, whichever way it is turned"
QUESTION = "predict"
LIBRARIES = ("torch",)

MEMBERS = 5
"""Networks of an ensemble: the seeds that the published accuracies are means over."""
ORIENTATIONS = 8
TILE_ROWS = 16
"""A tile takes ten passages (members and angles) whatever the rows in it, so it is small."""
TOLERANCE: Mapping[str, float] = {
    **dict.fromkeys(("fr_p1", "fr_p2", "fr_p1_raw", "fr_p2_raw", "fr_p_sd", "fr_p_sd_rot"), 0.01),
    "fr_class": 0.005,
    "fr_set": 0.01,
    "fr_entropy": 0.02,
    "fr_ood": 0.05,
}
"""Of each output, as `skyloom.models.card.Card.tolerance` has it: below what the networks differ by."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """Networks, what calibrates them, and what they were trained on."""

    network: Network
    """A `RadioEnsemble`."""
    temperature: float
    conformal: float
    """Calibrated probability that a class must reach to be in the set."""
    novelty: Novelty


def shape_of(form: str) -> LeNetConfig:
    """Return the shape of the networks of a form."""
    from skyloom.models.radio_galaxy.network import LeNetConfig

    return LeNetConfig("plain" if form == "plain" else "equivariant", cut_px=150, bin_px=3)


def tensors(config: Config) -> tuple[TensorInput, ...]:
    """Return the image that is read."""
    return tensors_of()


def reads(config: Config) -> tuple[Column, ...]:
    """Return no column: the image is all."""
    return ()


def writes(config: Config) -> tuple[Column, ...]:
    """Return the class, its probabilities, their spreads, the set and the out-of-distribution p-value."""
    return writes_of()


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights.
    DataError
        ``BAD_WEIGHTS`` if the arrays are of the other form, or do not fit.
    """
    if weights is None:
        msg = f"{NAME} needs weights; make them: skyloom model train {NAME} --data DIR --output DIR"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
    from skyloom.models.radio_galaxy.ensemble import RadioEnsemble
    from skyloom.models.radio_galaxy.network import FEATURES
    from skyloom.runtime.networks import Network, load_state

    arrays = weights.arrays
    for name in ("temperature", "conformal"):
        if name not in arrays or arrays[name].shape != (1,):
            raise DataError(f"weights of {NAME} lack {name} of shape (1,)", kind=ErrorKind.BAD_WEIGHTS)
    _check_form(config.form, arrays)
    ensemble = RadioEnsemble.untrained(shape_of(config.form), MEMBERS, orientations=ORIENTATIONS)
    load_state(ensemble, arrays, "net.")
    return Estimator(
        network=Network(ensemble, tile_rows=TILE_ROWS),
        temperature=float(arrays["temperature"][0]),
        conformal=float(arrays["conformal"][0]),
        novelty=Novelty.of_arrays(arrays, FEATURES),
    )


def _check_form(form: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse weights of the twin: their filters have no axis of orientations, or one too many."""
    filters = arrays.get("net.members.0.body.3.weight")
    found = {4: "plain", 5: "equivariant"}.get(filters.ndim if filters is not None else 0)
    if found is not None and found != form:
        msg = f"the weights are of the form {found!r}, not {form!r}: set form = {found!r} in [model_config]"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, form=form, found=found)


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Turn cutouts into clipped, scaled images; those without data or source are left out and flagged."""
    return inputs_of(rows, config)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: images (M, 1, 150, 150) in, one array of shape (M,) per column of `writes`."""
    found = estimator.network(image=np.asarray(arrays["image"], dtype=np.float32))
    return columns_of(
        found["logits"],
        found["features"],
        temperature=estimator.temperature,
        conformal=estimator.conformal,
        novelty=estimator.novelty,
    )
