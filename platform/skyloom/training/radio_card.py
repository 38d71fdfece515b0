"""The card of radio-galaxy's weights: scores measured on the published files, everything else from the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skyloom.evaluation import radio_galaxy as measured
from skyloom.models import radio_galaxy
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.models.radio_galaxy.columns import NORMALISATION
from skyloom.runtime.contract import Weights
from skyloom.training.request import command_of

__all__ = ["card_of"]


def card_of(weights: Weights, training: Mapping[str, Plain], variant: str, *, folder: Path | None = None) -> Card:
    """Return the card of weights.

    Parameters
    ----------
    weights : Weights
        Of the bundle.
    training : mapping
        As `skyloom.training.radio_galaxy.train` writes it into the card.
    variant : str
    folder : path, optional
        Of the published files; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If the files are not there; the message says where they come from.
    """
    form = str(training["form"])
    config = radio_galaxy.Config(form=form)
    estimator = radio_galaxy.build(config, weights)
    seed = int(training["split_seed"])
    table = measured.evaluate(estimator, weights, form=form, variant=variant, folder=folder, seed=seed)
    (image,) = radio_galaxy.tensors(config)
    return Card(
        name=radio_galaxy.NAME,
        variant=variant,
        title=radio_galaxy.TITLE,
        question=radio_galaxy.QUESTION,
        source="ads:2021MNRAS.503.2369S (Scaife & Porter 2021); departures: see the modules",
        intended_use="Sort resolved radio galaxies, one per FIRST cutout (150 px, 1.8 arcsec), into two classes.",
        limits="Trained on confident labels of bright sources in one survey at one resolution. In NVSS, whose px "
        "are 8 times as large, the classes do not hold, and fr_ood does not tell: see the scores. Calibrated and "
        "tested on 100 to 140 objects: an accuracy has an error of 2 to 3 %. Labels were given by eye; fr_p_sd "
        "misses what all networks got wrong.",
        licence="BSD-3-Clause (weights); the images are the VLA's FIRST survey as MiraBest gives them",
        command=command_of(radio_galaxy.NAME, training, data=True),
        evaluate=f"skyloom model evaluate {radio_galaxy.NAME} --weights {variant} --data DATA",
        training=training,
        flags={flag.name: flag.description for flag in radio_galaxy.FLAGS},
        reads=tuple(column.name for column in radio_galaxy.reads(config)),
        writes=tuple(column.name for column in radio_galaxy.writes(config)),
        scores=table.scores,
        reliability=table.reliability,
        inputs=(Input(image.name, image.shape, image.unit, image.bands, image.pixel_arcsec, NORMALISATION),),
        architecture=architecture_of(estimator),
        tolerance={column.name: radio_galaxy.TOLERANCE[column.name] for column in radio_galaxy.writes(config)},
        domain=Domain(
            survey="FIRST (VLA)",
            bands=("1.4 GHz",),
            depth="that of FIRST; what lies below 3 sigma is cut away",
            cadence="single epoch",
            selection="FR I and FR II labelled confidently and of standard morphology (Miraghaei & Best 2017); "
            "empty images are left out",
            simulated=False,
        ),
        priors=table.priors,
        out_of_scope="Other surveys, resolutions and frequencies without training again; hybrid, bent and compact "
        "sources, which get one of the two classes all the same; counts of a class in a population, since faint "
        "and doubtful sources are not among the labels; any single source on which much depends.",
        subgroups=table.subgroups,
    )
