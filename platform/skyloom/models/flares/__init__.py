"""flares: stellar flares in two-minute light curves of TESS: where, how bright, how long, how much energy.

Source: Feinstein, Montet & Ansdell 2020 (stella, ads:2020AJ....160..219F): ten small convolutional networks judge
the 200 cadences about each cadence. Departures: the networks see flux less three trends in units of its noise
(`curves`, `trends`) instead of flux over its median, slide without copies (`network`), and are trained on
simulated stars alone; cadences within 100 of a gap get nulls and not numbers made of zeros; a gap is where more
than 10 cadences are missing, not what lies far out in the scatter of time steps; events are measured against
their neighbourhood (`events`); probabilities are calibrated, and energies are Shibayama's (`energy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.models.flares.columns import EVENT_COLUMNS, FLAGS, Config, inputs_of, reads_of, writes_of
from skyloom.models.flares.energy import bolometric_energy
from skyloom.models.flares.estimator import Estimator, estimator_of, events_of, judge_all
from skyloom.models.flares.examples import examples_of
from skyloom.models.probabilities import isotonic
from skyloom.runtime.contract import Inputs, Lists, Weights

__all__ = [
    "FLAGS",
    "NAME",
    "NORMALISATION",
    "TOLERANCE",
    "Config",
    "Estimator",
    "build",
    "examples",
    "inputs",
    "predict",
    "reads",
    "writes",
]

NAME = "flares"
TITLE = "Stellar flares in two-minute light curves"
QUESTION = "predict"
LIBRARIES = ("torch",)

NORMALISATION = (
    "flux over the star's median, less its running medians over 41 and over 151 cadences, each taken off twice, "
    "and less a running polynomial of degree 5 over 151 cadences that leaves out what stands out, "
    "in units of the scatter from cadence to cadence, asinh"
)
TOLERANCE: Mapping[str, float] = {
    # Of what is no floating number, lists among it: the largest share of rows that may differ.
    "flare_n": 0.05,
    **{column.name: 0.05 for column in EVENT_COLUMNS},
    "flare_rate": 0.2,
    "flare_rate_err": 0.2,
    "flare_p_max": 0.01,
    "flare_p_max_sd": 0.01,
    # No network has a part in these; float64 of another processor has.
    "flare_days": 1e-3,
    "flare_noise": 1e-4,
    "flare_ood": 0.01,
}
"""Of each output, as `skyloom.models.card.Card.tolerance` has it."""


def reads(config: Config) -> tuple[Column, ...]:
    """Return the columns read: times, fluxes, errors and labels of the points; of the star, if asked."""
    return reads_of(config)


def writes(config: Config) -> tuple[Column, ...]:
    """Return number and rate of flares, and lists with their properties."""
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
    return estimator_of(config, weights)


def examples(config: Config, n: int, *, seed: int) -> pa.RecordBatch:
    """Return made-up rows for tests: some light curves that can be scored among others that cannot."""
    return examples_of(config, n, seed=seed)


def inputs(config: Config, rows: pa.RecordBatch) -> Inputs:
    """Prepare light curves; rows without a stretch of known cadence are left out and flagged."""
    return inputs_of(rows, config)


def predict(estimator: Estimator, arrays: Mapping[str, Any]) -> Mapping[str, NDArray[Any] | Lists]:
    """Find flares: what `inputs` made, to one value or one list per row and column of `writes`."""
    config, curves = estimator.config, arrays["curve"]
    scalars: dict[str, list[float]] = {}
    lists: dict[str, list[NDArray[Any]]] = {}
    for k, (curve, judged) in enumerate(zip(curves, judge_all(estimator.network, curves), strict=True)):
        events = events_of(estimator, curve, judged)
        days = float((curve.judged & curve.seen).sum()) * curve.cadence_d
        n = len(events.peak)
        top = int(np.nanargmax(judged.mean))
        energy = bolometric_energy(
            events.ed_s, arrays["teff"][k], arrays["radius"][k], flare_k=config.flare_temperature_k
        )
        for name, value in (
            ("flare_n", n),
            ("flare_rate", n / days),
            # Gehrels 1986, ads:1986ApJ...303..336G, equation 7: right to a few percent for any number.
            ("flare_rate_err", (1.0 + np.sqrt(n + 0.75)) / days),
            ("flare_days", days),
            ("flare_noise", curve.noise),
            ("flare_p_max", judged.mean[top]),
            ("flare_p_max_sd", judged.sd[top]),
        ):
            scalars.setdefault(name, []).append(value)
        for name, values in (
            ("flare_time", events.time_mjd),
            ("flare_amp", events.amp),
            ("flare_amp_err", np.full(n, curve.noise)),
            ("flare_snr", events.amp / curve.noise),
            ("flare_rise", events.rise_d),
            ("flare_fall", events.fall_d),
            ("flare_ed", events.ed_s),
            ("flare_ed_err", events.ed_err_s),
            ("flare_p", isotonic(events.p, estimator.event_knots, estimator.event_values)),
            ("flare_p_raw", events.p),
            ("flare_p_sd", events.p_sd),
            ("flare_energy", energy),
        ):
            lists.setdefault(name, []).append(values)
        if config.per_cadence:
            cadence = _of_points(curve.length, curve.place, curve.node, judged.mean)
            p = isotonic(cadence, estimator.cadence_knots, estimator.cadence_values)
            lists.setdefault("flare_cadence_p", []).append(p)
            lists.setdefault("flare_cadence_p_raw", []).append(cadence)
            lists.setdefault("flare_cadence_p_sd", []).append(
                _of_points(curve.length, curve.place, curve.node, judged.sd)
            )
    kinds = np.stack([curve.kind for curve in curves])
    return {
        **{
            name: np.array(values, dtype=np.int32 if name == "flare_n" else np.float32)
            for name, values in scalars.items()
        },
        "flare_ood": estimator.novelty.p_value(kinds).astype(np.float32),
        **{
            name: Lists.of(values, np.float64 if name == "flare_time" else np.float32)
            for name, values in lists.items()
        },
    }


def _of_points(
    length: int, place: NDArray[np.int64], node: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return values of nodes at the points of the row, as its lists have them; NaN where there is none."""
    out = np.full(length, np.nan)
    held = node >= 0
    out[place[held]] = values[node[held]]
    return out
