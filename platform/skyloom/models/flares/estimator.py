"""The estimator of flares: ten networks that slide, what calibrates them, and what their training looked like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.models.flares.columns import Config
from skyloom.models.flares.curves import CHANNELS, HALF, KINDS, WINDOW, Prepared
from skyloom.models.flares.events import Events, find_events
from skyloom.models.novelty import Novelty
from skyloom.runtime.contract import Weights

if TYPE_CHECKING:
    from skyloom.models.flares.network import NetworkConfig
    from skyloom.runtime.networks import Network

__all__ = ["Estimator", "Judgement", "estimator_of", "events_of", "judge", "shape_array", "stored_network"]

CHUNK = 1024
"""Windows that the networks judge in one row: the row has 199 cadences more."""
_TILE_ROWS = 4
_SHAPE = 5


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """Networks and what makes probabilities of their answers."""

    network: Network
    """Of a `skyloom.models.flares.network.FlareEnsemble`."""
    config: Config
    threshold: float
    """Of the ensemble's mean: the job's, or that of the weights."""
    cadence_knots: NDArray[np.float64]
    cadence_values: NDArray[np.float64]
    event_knots: NDArray[np.float64]
    event_values: NDArray[np.float64]
    """Of `skyloom.models.probabilities.isotonic`: of cadences, and of the highest cadence of an event."""
    novelty: Novelty


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What the ensemble says of G nodes: mean and spread of its members, shape (G,), NaN where not judged."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def shape_array(config: NetworkConfig, members: int) -> NDArray[np.int64]:
    """Return the shape of an ensemble as numbers, shape (5,): what a bundle keeps of it."""
    return np.array([*config.widths, config.hidden, members])


def estimator_of(config: Config, weights: Weights) -> Estimator:
    """Return the estimator that stored arrays describe.

    Raises
    ------
    DataError
        ``BAD_WEIGHTS`` if the arrays do not fit each other.
    """
    arrays = weights.arrays
    for name, length in (
        ("shape", _SHAPE),
        ("threshold", 1),
        *((f"{who}.{of}", None) for who in ("cadence", "event") for of in ("knots", "values")),
    ):
        found = arrays[name].shape if name in arrays else None
        if found is None or len(found) != 1 or found[0] < 1 or (length is not None and found[0] != length):
            msg = f"weights of flares: {name} has shape {found}, expected ({length or 'T'},)"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, array=name)
    for who in ("cadence", "event"):
        if arrays[f"{who}.knots"].shape != arrays[f"{who}.values"].shape:
            msg = f"weights of flares: {who}.knots and {who}.values differ in length"
            raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, array=who)
    return Estimator(
        network=stored_network(arrays),
        config=config,
        threshold=config.threshold or float(arrays["threshold"][0]),
        cadence_knots=arrays["cadence.knots"],
        cadence_values=arrays["cadence.values"],
        event_knots=arrays["event.knots"],
        event_values=arrays["event.values"],
        novelty=Novelty.of_arrays(arrays, len(KINDS)),
    )


def stored_network(arrays: Mapping[str, NDArray[Any]]) -> Network:
    """Return the ensemble of a bundle's arrays, ready to predict.

    Raises
    ------
    DataError
        ``BAD_WEIGHTS`` if the arrays are not those of such networks.
    """
    from skyloom.models.flares.network import FlareEnsemble, NetworkConfig
    from skyloom.runtime.networks import Network, load_state

    first, second, third, hidden, members = (int(n) for n in arrays["shape"])
    try:
        ensemble = FlareEnsemble(NetworkConfig(CHANNELS, (first, second, third), hidden), members)
    except SpecError as error:
        raise DataError(f"weights of flares: {error}", kind=ErrorKind.BAD_WEIGHTS) from error
    load_state(ensemble, arrays)
    return Network(ensemble, tile_rows=_TILE_ROWS)


def judge(network: Network, curve: Prepared) -> Judgement:
    """Return what the ensemble says of every node that has a whole window.

    The light curve is cut into rows that overlap by 199 cadences: each window is judged once, none is copied.
    """
    rows, starts = _rows(curve)
    members = network(curves=rows)["out"].astype(np.float64)
    mean, sd = np.full(len(curve.mjd), np.nan), np.full(len(curve.mjd), np.nan)
    total = np.zeros((len(rows), CHUNK))
    for k in range(members.shape[1]):
        total = total + members[:, k]
    of_rows, spread = total / members.shape[1], np.zeros((len(rows), CHUNK))
    for k in range(members.shape[1]):
        spread = spread + (members[:, k] - of_rows) ** 2
    spread = np.sqrt(spread / members.shape[1])
    for row, (start, number) in enumerate(starts):
        nodes = slice(start + HALF, start + HALF + number)
        mean[nodes], sd[nodes] = of_rows[row, :number], spread[row, :number]
    return Judgement(mean, sd)


def _rows(curve: Prepared) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Return rows (K, channels, CHUNK + 199), zeros behind a stretch's end; first node and windows of each."""
    starts = [
        (start, min(CHUNK, last - WINDOW + 1 - start))
        for first, last in zip(curve.offsets[:-1].tolist(), curve.offsets[1:].tolist(), strict=True)
        for start in range(first, last - WINDOW + 1, CHUNK)
    ]
    rows = np.zeros((len(starts), CHANNELS, CHUNK + WINDOW - 1), dtype=np.float32)
    for row, (start, number) in enumerate(starts):
        rows[row, :, : number + WINDOW - 1] = curve.channels[:, start : start + number + WINDOW - 1]
    return rows, starts


def events_of(estimator: Estimator, curve: Prepared, judged: Judgement) -> Events:
    """Return the flares of a light curve, by the settings of the estimator."""
    return find_events(
        curve,
        judged.mean,
        judged.sd,
        threshold=estimator.threshold,
        join=estimator.config.join_cadences,
        min_sigma=estimator.config.min_sigma,
    )
