"""What gamornet is transferred to: labelled rows of a catalog, or the harder simulated domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.gamornet_galaxies import (
    CALIBRATION_START,
    Sample,
    Test,
    drawn_test,
    labelled_parts,
    labelled_test,
    sample,
)
from skyloom.evaluation.labelled import is_labelled
from skyloom.evaluation.split import FRACTIONS, SEED
from skyloom.models import gamornet, registry
from skyloom.models.card import Plain
from skyloom.training.request import EXAMPLES, TrainRequest

__all__ = ["Sky", "sky_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """The domain that is transferred to."""

    test: Test
    calibration: Sample
    words: Mapping[str, Plain]
    """Of the card's ``[training]``."""


def sky_of(request: TrainRequest, training: Mapping[str, Plain], *, n_calibration: int) -> Sky:
    """Return the galaxies to transfer to: of a labelled catalog, or drawn from the harder domain.

    Parameters
    ----------
    request : TrainRequest
    training : mapping
        As it will stand in the card: seed and recipe.
    n_calibration : int
        Galaxies to draw that calibrate.

    Raises
    ------
    SpecError
        If a table or folder is given.
    DataError
        As `skyloom.evaluation.gamornet_galaxies.labelled_parts`.
    """
    form = str(training["recipe.form"])
    words: dict[str, Plain]
    if is_labelled(request.data):
        request.say("reading the labelled catalog")
        folder, config = request.folder(EXAMPLES), gamornet.Config(form=form)
        rows = request.data.read(registry.system(gamornet.NAME), config, folder)
        train, calibration, held_out = labelled_parts(rows)
        words = {
            "data": f"labelled rows of catalog {rows.catalog}; first layers from galaxies drawn by galsim",
            "simulated": rows.simulated,
            "catalog": rows.catalog,
            "snapshot": rows.snapshot,
            "label": rows.column,
            "tensors": "cutout",
            "bands": ", ".join(rows.bands) or "not stated by the store",
            "split": f"by object, hash of the id: {FRACTIONS[0]:.0%} train, {FRACTIONS[1]:.0%} calibration, "
            f"{FRACTIONS[2]:.0%} held out",
            "split_seed": SEED,
            **{f"left_out.{name}": n for name, n in rows.left_out.items() if n},
            "n_train": len(train.label),
            "n_calibration": len(calibration.label),
            "n_held_out": len(held_out.label),
        }
        return Sky(labelled_test(rows, train, held_out), calibration, words)
    if request.data is not None:
        msg = f"model {gamornet.NAME} simulates its training set, or learns from a catalog; leave `data` out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=gamornet.NAME)
    request.say("drawing galaxies")
    held = sample(form, n_calibration, seed=request.seed, domain="real", start=CALIBRATION_START)
    words = {
        "data": "galaxies of skyloom.simulators.galaxies, drawn by galsim",
        "simulated": True,
        "selection": "class shares as L_B/L_T uniform gives them: 45 % disk, 10 % indeterminate, 45 % bulge",
    }
    return Sky(drawn_test(training), held, words)
