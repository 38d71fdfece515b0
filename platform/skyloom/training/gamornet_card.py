"""The card of gamornet's weights: scores measured on galaxies drawn again, everything else from the run."""

from __future__ import annotations

from collections.abc import Mapping

from skyloom.evaluation import gamornet as measured
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import gamornet
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.models.gamornet.images import NORMALISATION
from skyloom.runtime.contract import Weights
from skyloom.simulators.surveys import survey
from skyloom.training.request import command_of

__all__ = ["card_of"]


def card_of(weights: Weights, training: Mapping[str, Plain], variant: str) -> Card:
    """Return the card of weights.

    Parameters
    ----------
    weights : Weights
        Of the bundle.
    training : mapping
        As `skyloom.training.gamornet.train` writes it into the card: seed, recipe, device.
    variant : str
    """
    form = str(training["recipe.form"])
    estimator = gamornet.build(gamornet.Config(form=form), weights)
    table = measured.evaluate(
        estimator,
        weights,
        variant=variant,
        form=form,
        seed=int(training["seed"]),
        n_labels=int(training["recipe.n_labels"]),
        n_held_out=int(training["recipe.n_held_out"]),
    )
    return _card(form, variant, training, table, architecture_of(estimator))


def _card(
    form: str,
    variant: str,
    training: Mapping[str, Plain],
    table: ScoreTable,
    architecture: Mapping[str, str],
) -> Card:
    config = gamornet.Config(form=form)
    (image,) = gamornet.tensors(config)
    kind = survey(measured.SURVEY_OF[form])
    return Card(
        name=gamornet.NAME,
        variant=variant,
        title=gamornet.TITLE,
        question=gamornet.QUESTION,
        source="ads:2020ApJ...895..112G (GaMorNet); departures: see the module",
        intended_use="Sort galaxies of one source per cutout into disk- and bulge-dominated ones; teach transfer.",
        limits="SIMULATED galaxies only: bulge and disk, with arms, bars and dust drawn on. On real images, train "
        "again on labels of that survey. gm_p_sd is the spread of three networks that share their first layers "
        "and misses what all of them got wrong. Sets hold the true class in 90 % of like galaxies.",
        licence="BSD-3-Clause",
        command=command_of(gamornet.NAME, training),
        evaluate=f"skyloom model evaluate {gamornet.NAME}",
        training=training,
        flags={flag.name: flag.description for flag in gamornet.FLAGS},
        reads=tuple(column.name for column in gamornet.reads(config)),
        writes=tuple(column.name for column in gamornet.writes(config)),
        scores=table.scores,
        reliability=table.reliability,
        inputs=(Input(image.name, image.shape, image.unit, image.bands, image.pixel_arcsec, NORMALISATION),),
        architecture=architecture,
        tolerance={column.name: gamornet.TOLERANCE[column.name] for column in gamornet.writes(config)},
        domain=Domain(
            survey=f"none: galsim, with the pixels, PSF and noise of {kind.name} "
            "as skyloom.simulators.surveys has them",
            bands=(kind.band,),
            depth=f"AB magnitudes {kind.magnitude[0]:g} to {kind.magnitude[1]:g}, drawn uniformly",
            cadence="single epoch",
            selection="bulge and disk with L_B/L_T drawn uniformly; cutouts that the system flags are left out",
            simulated=True,
        ),
        priors=table.priors,
        out_of_scope="Images of real surveys without training again; mergers, irregular galaxies and lenses; "
        "galaxies larger than the cutout; counts of a class in a population, since the shares of classes in the "
        "sky are not those of training; any single galaxy on which much depends.",
        subgroups=table.subgroups,
    )
