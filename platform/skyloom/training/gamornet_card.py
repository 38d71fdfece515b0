"""The card of gamornet's weights: scores measured on galaxies drawn again, everything else from the run."""

from __future__ import annotations

from collections.abc import Mapping

from skyloom.evaluation import gamornet as measured
from skyloom.evaluation.gamornet_galaxies import SURVEY_OF, Test, drawn_test
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import gamornet
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.models.gamornet.images import NORMALISATION
from skyloom.runtime.contract import Weights
from skyloom.simulators.surveys import Survey, survey
from skyloom.training.request import command_of

__all__ = ["card_of"]


def card_of(weights: Weights, training: Mapping[str, Plain], variant: str, *, test: Test | None = None) -> Card:
    """Return the card of weights.

    Parameters
    ----------
    weights : Weights
        Of the bundle.
    training : mapping
        As `skyloom.training.gamornet.train` writes it into the card: seed, recipe, device.
    variant : str
    test : Test, optional
        What the scores are measured on; default: the simulated galaxies that `training` speaks of.

    Raises
    ------
    SpecError
        If there is no `test`, and the weights were trained on a catalog.
    """
    form = str(training["recipe.form"])
    estimator = gamornet.build(gamornet.Config(form=form), weights)
    table = measured.evaluate(estimator, weights, test or drawn_test(training), variant=variant, form=form)
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
    own = "catalog" in training
    domain, limits, out_of_scope = _of_catalog(training) if own else _of_simulations(survey(SURVEY_OF[form]))
    return Card(
        name=gamornet.NAME,
        variant=variant,
        title=gamornet.TITLE,
        question=gamornet.QUESTION,
        source="ads:2020ApJ...895..112G (GaMorNet); departures: see the module",
        intended_use="Sort galaxies of one source per cutout into disk- and bulge-dominated ones; teach transfer.",
        limits=f"{limits} gm_p_sd is the spread of three networks that share their first layers "
        "and misses what all of them got wrong. Sets hold the true class in 90 % of like galaxies.",
        licence="BSD-3-Clause",
        command=command_of(gamornet.NAME, training),
        evaluate=_evaluate(training),
        training=training,
        flags={flag.name: flag.description for flag in gamornet.FLAGS},
        reads=tuple(column.name for column in gamornet.reads(config)),
        writes=tuple(column.name for column in gamornet.writes(config)),
        scores=table.scores,
        reliability=table.reliability,
        inputs=(Input(image.name, image.shape, image.unit, image.bands, image.pixel_arcsec, NORMALISATION),),
        architecture=architecture,
        tolerance={column.name: gamornet.TOLERANCE[column.name] for column in gamornet.writes(config)},
        domain=domain,
        priors=table.priors,
        out_of_scope=out_of_scope,
        subgroups=table.subgroups,
    )


def _evaluate(training: Mapping[str, Plain]) -> str:
    """Return the command that measures the scores again."""
    command = f"skyloom model evaluate {gamornet.NAME}"
    if "catalog" not in training:
        return command
    rows = f"--catalog {training['catalog']} --label {training['label']}"
    return f"{command} --weights DIR {rows} --tensors cutout=STORE"


def _of_simulations(kind: Survey) -> tuple[Domain, str, str]:
    """Return domain, limits and uses out of scope of weights that saw simulated galaxies alone."""
    domain = Domain(
        survey=f"none: galsim, with the pixels, PSF and noise of {kind.name} "
        "as skyloom.simulators.surveys has them",
        bands=(kind.band,),
        depth=f"AB magnitudes {kind.magnitude[0]:g} to {kind.magnitude[1]:g}, drawn uniformly",
        cadence="single epoch",
        selection="bulge and disk with L_B/L_T drawn uniformly; cutouts that the system flags are left out",
        simulated=True,
    )
    limits = (
        "SIMULATED galaxies only: bulge and disk, with arms, bars and dust drawn on. On real images, train "
        "again on labels of that survey."
    )
    out_of_scope = (
        "Images of real surveys without training again; mergers, irregular galaxies and lenses; "
        "galaxies larger than the cutout; counts of a class in a population, since the shares of classes in the "
        "sky are not those of training; any single galaxy on which much depends."
    )
    return domain, limits, out_of_scope


def _of_catalog(training: Mapping[str, Plain]) -> tuple[Domain, str, str]:
    """Return domain, limits and uses out of scope of weights that saw labelled rows of a catalog."""
    name = training["catalog"]
    domain = Domain(
        survey=f"catalog {name}, {training['snapshot']}",
        bands=tuple(str(training["bands"]).split(", ")),
        depth="that of the catalog's labelled rows",
        cadence="single epoch",
        selection=f"rows with a label in column {training['label']}; cutouts that the system flags are left out",
        simulated=bool(training["simulated"]),
    )
    limits = (
        f"As good as the labels of {name}, and for galaxies like its labelled ones: other surveys, depths and "
        "selections do worse, and no score here says how much. The networks began with SIMULATED galaxies."
    )
    out_of_scope = (
        f"Images of other surveys than those of {name} without training again; galaxies larger than the cutout; "
        "counts of a class in a population, unless its labelled rows are a fair sample of it; any single galaxy "
        "on which much depends."
    )
    return domain, limits, out_of_scope
