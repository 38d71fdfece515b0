"""Train radio-galaxy: five networks of one form on MiraBest, calibrated on objects that they did not see.

    skyloom model train radio-galaxy --data DIR --output weights/equivariant

Departures from the source (Scaife & Porter 2021): a learning rate of 1e-3 that falls to zero along a
cosine over 60 epochs, for 1e-4 over up to 600; the stronger weight decay of 1e-4; images are mirrored,
not only turned. Calibration is a temperature, which keeps the order of the classes: sets fitted on the
same objects stay valid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.calibration import fit_temperature
from skyloom.evaluation.radio import (
    RADIO_FRACTIONS,
    RADIO_SEED,
    RadioSet,
    radio_parts,
    read_radio,
    scorable_radio,
)
from skyloom.evaluation.radio_transfer import stored_transfers
from skyloom.models import radio_galaxy
from skyloom.models.card import Card, Plain
from skyloom.models.conformal import set_threshold
from skyloom.models.probabilities import tempered
from skyloom.models.radio_galaxy.ensemble import RadioEnsemble
from skyloom.models.radio_galaxy.outputs import mean_logits
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.runtime.networks import Network, state_arrays
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import fit_novelty
from skyloom.training.radio_card import card_of
from skyloom.training.radio_fit import Recipe, fit_members, fit_transfers, folder_of

__all__ = ["Recipe", "calibration_arrays", "train"]

_COVERAGE = 0.9


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Train the members and the networks of FR-DEEP, calibrate, and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its data are the folder that holds ``mirabest/`` and ``frdeep/``.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on held-out objects.

    Raises
    ------
    SpecError
        If a table is given, or as `skyloom.training.loop.fit`.
    NotFoundError
        If the files are not there; the message says where they come from.
    """
    folder = folder_of(request)
    data = scorable_radio(read_radio("mirabest", folder))
    members, curves = fit_members(data, recipe, request)
    nets, further = fit_transfers(recipe, request)
    ensemble = RadioEnsemble(members, orientations=radio_galaxy.ORIENTATIONS)
    request.say("calibrating")
    arrays: dict[str, NDArray[Any]] = {**state_arrays(ensemble, "net."), **stored_transfers(nets)}
    arrays |= calibration_arrays(ensemble, data)
    parts = radio_parts(data)
    training: dict[str, Plain] = {
        "data": "MiraBest (github fmporter/MiraBest): real FIRST images; FR-DEEP (github "
        "HongmingTang060313/FR-DEEP) for what transfer brings",
        "simulated": False,
        "form": recipe.form,
        "members": radio_galaxy.MEMBERS,
        "split": f"by object, hash of its name within its class: {RADIO_FRACTIONS[0]:.0%} train (a tenth of them, "
        f"another for each member, chooses the epoch), {RADIO_FRACTIONS[1]:.0%} calibration, "
        f"{RADIO_FRACTIONS[2]:.0%} held out",
        "split_seed": RADIO_SEED,
        "n_train": int(parts.train.sum()),
        "n_calibration": int(parts.calibration.sum()),
        "n_held_out": int(parts.held_out.sum()),
        "calibration": "temperature, sets and p-values on the calibration objects",
        **request.record(recipe, network=True, **curves, **further),
    }
    request.say("measuring scores")
    card = card_of(Weights(arrays, {}, ""), training, request.variant, folder=folder)
    return write_bundle(request.output, card, arrays)


def calibration_arrays(ensemble: RadioEnsemble, data: RadioSet) -> dict[str, NDArray[Any]]:
    """Return temperature, threshold of the sets and the p-value's arrays, from the calibration objects.

    Parameters
    ----------
    ensemble : RadioEnsemble
    data : RadioSet
        Scorable images.
    """
    parts = radio_parts(data)
    found = Network(ensemble, tile_rows=radio_galaxy.TILE_ROWS)(image=data.images)
    mean = mean_logits(found["logits"].astype(np.float64))[parts.calibration, 0]
    target = data.target[parts.calibration]
    temperature = fit_temperature(mean, target)
    own = tempered(mean, temperature)[np.arange(len(target)), target]
    columns = np.arange(found["features"].shape[1], dtype=np.int64)
    novelty = fit_novelty(found["features"], data.target, columns, parts.train, parts.calibration)
    return {
        "temperature": np.array([temperature]),
        "conformal": np.array([set_threshold(own, _COVERAGE)]),
        **novelty.to_arrays(),
    }
