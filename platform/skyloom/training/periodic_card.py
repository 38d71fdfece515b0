"""The card of periodic-class's weights: scores measured on the kit's test stars, everything else from the run."""

from __future__ import annotations

from collections.abc import Mapping

from skyloom.evaluation import periodic_class as measured
from skyloom.evaluation.periodic_sample import Sample
from skyloom.models import periodic_class
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.runtime.contract import Weights
from skyloom.training.request import command_of

__all__ = ["card_of"]


def card_of(weights: Weights, stars: Sample, training: Mapping[str, Plain], variant: str) -> Card:
    """Return the card of weights.

    Parameters
    ----------
    weights : Weights
        Of the bundle.
    stars : Sample
        The set that they were trained on, test stars and all.
    training : mapping
        As `skyloom.training.periodic_class.train` writes it into the card: seed, recipe, device.
    variant : str
    """
    config = periodic_class.Config(bins=int(weights.arrays["shape"][5]))
    estimator = periodic_class.build(config, weights)
    table = measured.evaluate(estimator, weights, stars, variant=variant)
    shape = (2 * len(config.bands), config.bins)
    columns = tuple(column.name for column in periodic_class.writes(config))
    return Card(
        name=periodic_class.NAME,
        variant=variant,
        title=periodic_class.TITLE,
        question=periodic_class.QUESTION,
        source="ads:2021MNRAS.505..515Z (iTCN), departures: see the module; EROS-1: RAMP kit variable_stars",
        intended_use="Find periods of variable stars and sort them into eclipsing binaries, Cepheids, RR Lyrae "
        "stars and long-period variables, in the passbands of EROS-1 towards the Large Magellanic Cloud.",
        limits="Magnitudes and colours are those of EROS-1 at the distance of the Cloud: elsewhere, train again. "
        "Stars of no period were not in training: cut on vs_log_fap and vs_ood. Classes and periods were given by "
        "people, with aliases among them. A period is right or an alias; vs_period_err knows the first case only. "
        "vs_p_sd is the spread of networks of one shape and misses what all of them got wrong. Sets hold the "
        "true class in 90 % of like stars. Settings were chosen among about ten, partly on overlapping stars, so "
        "the scores are slightly optimistic.",
        licence="BSD-3-Clause (weights); the light curves carry no licence and are not shipped",
        command=command_of(periodic_class.NAME, training, data=True),
        evaluate=f"skyloom model evaluate {periodic_class.NAME} --data DATA",
        training=training,
        flags={flag.name: flag.description for flag in periodic_class.FLAGS},
        reads=tuple(column.name for column in periodic_class.reads(config)),
        writes=columns,
        scores=table.scores,
        reliability=table.reliability,
        inputs=(Input("folded", shape, "", (), None, periodic_class.NORMALISATION),),
        architecture=architecture_of(estimator),
        tolerance={name: periodic_class.TOLERANCE[name] for name in columns},
        domain=Domain(
            survey="EROS-1, Large Magellanic Cloud",
            bands=config.bands,
            depth="b and r of 13 to 21 mag",
            cadence="some 120 nights in 2.5 years, both passbands",
            selection="stars of four classes that people recognised",
            simulated=False,
        ),
        priors=table.priors,
        out_of_scope="Other passbands and distances without training again; stars that do not repeat, and classes "
        "that are not among the four; counts of a class in a population, since the shares of classes in the sky "
        "are not those of training; any single star on which much depends.",
        subgroups=table.subgroups,
    )
