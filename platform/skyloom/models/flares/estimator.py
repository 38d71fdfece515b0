"""The estimator of flares: ten networks that slide, what calibrates them, and what their training looked like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

__all__ = [
    "Estimator",
    "Judgement",
    "estimator_of",
    "events_of",
    "judge",
    "judge_all",
    "shape_array",
    "stored_network",
]

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
    """Return what the ensemble says of every node that has a whole window."""
    return judge_all(network, [curve])[0]


def judge_all(network: Network, curves: Sequence[Prepared]) -> list[Judgement]:
    """Return what the ensemble says of light curves, one by one: together they fill its tiles.

    A light curve is cut into rows that overlap by 199 cadences: each window is judged once, none is copied.
    Windows over the end of a stretch are computed, too, and thrown away.
    """
    rows = [_rows(curve) for curve in curves]
    members = network(curves=np.concatenate(rows))["out"].astype(np.float64)
    total = np.zeros((len(members), CHUNK))
    for k in range(members.shape[1]):
        total = total + members[:, k]
    mean, spread = total / members.shape[1], np.zeros((len(members), CHUNK))
    for k in range(members.shape[1]):
        spread = spread + (members[:, k] - mean) ** 2
    spread = np.sqrt(spread / members.shape[1])
    ends = np.cumsum([len(each) for each in rows])
    return [
        Judgement(*(_at_nodes(curve, of[end - len(each) : end]) for of in (mean, spread)))
        for curve, each, end in zip(curves, rows, ends.tolist(), strict=True)
    ]


def _rows(curve: Prepared) -> NDArray[np.float32]:
    """Return all nodes in rows (K, channels, CHUNK + 199) that overlap, zeros behind the last."""
    nodes = len(curve.mjd)
    starts = range(0, nodes - WINDOW + 1, CHUNK)
    rows = np.zeros((len(starts), CHANNELS, CHUNK + WINDOW - 1), dtype=np.float32)
    for row, start in enumerate(starts):
        stop = min(nodes, start + CHUNK + WINDOW - 1)
        rows[row, :, : stop - start] = curve.channels[:, start:stop]
    return rows


def _at_nodes(curve: Prepared, of_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what was computed for each node, shape (G,); NaN where it has no whole window."""
    out, number = np.full(len(curve.mjd), np.nan), len(curve.mjd) - WINDOW + 1
    out[HALF : HALF + number] = of_rows.reshape(-1)[:number]
    out[~curve.judged] = np.nan
    return out


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
