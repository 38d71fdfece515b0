"""vraenn: how unlike common supernovae a transient is, from a recurrent autoencoder of its light curve.

Source: Villar et al. 2021 (ads:2021ApJS..255...24V): a Gaussian process in time and wavelength, a
variational recurrent autoencoder, and an isolation forest on its encodings. Departures: asinh magnitudes above
the noise instead of magnitudes and upper limits; the process is asked at fixed phases and rest-frame wavelengths,
which makes redshifts comparable; values that it does not know count little; the score is the mean distance to the
nearest encodings of common transients, over what is usual at that brightness above the noise, which finds more
than the isolation forest (that is there, too: ``vr_forest``); rare classes were not in training. No class label
enters but "common".

The score is also given as it was 5 to 100 days after the first detection: everything, from the brightest
point to the fit, is then made of the points until that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.models.vraenn.columns import CUTS_D, FLAGS, LATENTS, PREFIX, Config, reads_of, writes_of
from skyloom.models.vraenn.estimator import (
    Encodings,
    Estimator,
    distances,
    drawn,
    encode,
    estimator_of,
    expected,
    forest_scores,
    standardised,
)
from skyloom.models.vraenn.rows import SEQUENCE, inputs_of
from skyloom.runtime.contract import Inputs, Weights

__all__ = [
    "FLAGS",
    "NAME",
    "NORMALISATION",
    "TOLERANCE",
    "Config",
    "Encodings",
    "Estimator",
    "build",
    "distances",
    "encode",
    "expected",
    "forest_scores",
    "inputs",
    "predict",
    "reads",
    "standardised",
    "writes",
]

NAME = "vraenn"
TITLE = "How unlike common supernovae a transient is"
QUESTION = "describe"
LIBRARIES = ("torch",)

NORMALISATION = (
    "minus absolute magnitudes at 32 phases and 6 rest-frame wavelengths, as a Gaussian process has them, and "
    "their errors; extinction taken off, no source is the noise at that distance"
)
TOLERANCE: Mapping[str, float] = {
    f"{PREFIX}_forest": 0.02,
    **{f"{PREFIX}_score{end}": 0.05 for end in ("", "_sd", *(f"_t{day}" for day in CUTS_D))},
    f"{PREFIX}_pct": 5.0,
    **{f"{PREFIX}_z_{kind}{k}": 0.05 for kind in ("", "sd_") for k in range(LATENTS)},
    f"{PREFIX}_misfit": 0.01,
    # No network has a part in these; float64 of another processor has.
    **{f"{PREFIX}_{name}": 1e-2 for name in ("peak_absmag", "rise", "gp_lnlike", "gp_wave")},
    f"{PREFIX}_gp_time": 0.5,
}
"""Of each output, as `skyloom.models.card.Card.tolerance` has it."""


def reads(config: Config) -> tuple[Column, ...]:
    """Return the columns read: the light curve in nJy, the host's redshift and the extinction."""
    return reads_of()


def writes(config: Config) -> tuple[Column, ...]:
    """Return the score, its percentile and uncertainty, the encoding, the fit, and the score as it was."""
    return writes_of(config)


def build(config: Config, weights: Weights | None) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    SpecError
        If there are no weights.
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit each other.
    """
    if weights is None:
        msg = f"{NAME} needs weights; `skyloom model describe {NAME}` lists those there are"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=NAME)
    return estimator_of(weights)


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Fit Gaussian processes; rows without a detection, a redshift or enough points are left out and flagged."""
    return inputs_of(rows, config)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Score a batch: what `inputs` made, to one array of shape (M,) per column of `writes`."""
    m, cuts = arrays["there"].shape
    sequence = {name: arrays[name].reshape(m * cuts, *arrays[name].shape[2:]) for name in SEQUENCE}
    flat = encode(estimator.network, sequence)
    z = standardised(flat.mean, estimator.centre, estimator.width)
    above_mag = -arrays["peak"] - arrays["limit"]
    score = distances(estimator.common, z).reshape(m, cuts) / expected(above_mag, estimator.usual)
    last = slice(cuts - 1, None, cuts)
    whole = Encodings(flat.mean[last], flat.sd[last], flat.misfit[last])
    lower = np.searchsorted(estimator.reference, score[:, -1], side="left")
    out = {
        f"{PREFIX}_score": score[:, -1],
        f"{PREFIX}_score_sd": drawn(estimator, whole, above_mag[:, -1]),
        f"{PREFIX}_pct": (100.0 * lower / len(estimator.reference)).astype(np.float32),
        f"{PREFIX}_forest": forest_scores(estimator.forests, z[last]),
        **{f"{PREFIX}_z_{k}": whole.mean[:, k] for k in range(LATENTS)},
        **{f"{PREFIX}_z_sd_{k}": whole.sd[:, k] for k in range(LATENTS)},
        f"{PREFIX}_misfit": whole.misfit,
        f"{PREFIX}_peak_absmag": arrays["peak"][:, -1],
        f"{PREFIX}_rise": arrays["rise_d"],
        **{f"{PREFIX}_gp_{name}": arrays["fitted"][:, k] for k, name in enumerate(("lnlike", "time", "wave"))},
    }
    for k, day in enumerate(CUTS_D[: cuts - 1]):
        out[f"{PREFIX}_score_t{day}"] = np.ma.MaskedArray(score[:, k], ~arrays["there"][:, k])
    return out
