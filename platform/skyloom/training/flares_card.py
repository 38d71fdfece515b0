"""The card of the weights of flares: scores measured on held-out stars, everything else from the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skyloom.evaluation.flares import evaluate
from skyloom.models import flares
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.models.flares.curves import CHANNELS, WINDOW
from skyloom.models.flares.estimator import CHUNK
from skyloom.runtime.contract import Weights
from skyloom.simulators.flares import BANDS
from skyloom.training.request import TrainRequest, command_of

__all__ = ["card_of"]


def card_of(weights: Weights, training: Mapping[str, Plain], request: TrainRequest) -> Card:
    """Return the card of weights.

    Parameters
    ----------
    weights : Weights
        Of the bundle.
    training : mapping
        As `skyloom.training.flares.train` writes it into the card: seed, recipe, device.
    request : TrainRequest
        Its variant, and where the real light curves lie.
    """
    config = flares.Config()
    estimator = flares.build(config, weights)
    table = evaluate(
        estimator,
        stars=int(training["recipe.stars"]),
        days=float(training["recipe.days"]),
        seed=int(training["seed"]),
        data=request.data if isinstance(request.data, Path) else None,
        variant=request.variant,
    )
    columns = tuple(column.name for column in flares.writes(config))
    return Card(
        name=flares.NAME,
        variant=request.variant,
        title=flares.TITLE,
        question=flares.QUESTION,
        source="ads:2020AJ....160..219F (stella), departures: see the module; stars: skyloom.simulators.flares",
        intended_use="Find flares of cool stars in two-minute flux of TESS, of one sector or more: how many, "
        "when, how bright, how long, and how much energy.",
        limits="Trained on simulated stars: shares of pulsating and eclipsing stars, of spots and of noise are "
        "settings of that simulation, and probabilities are calibrated for it. Other cadences than two minutes "
        "are not scored. Cadences within 100 of a gap are not judged. Stars that pulsate within an hour or two "
        "give false flares: cut on flare_ood. Of flares of one or two cadences few are found: they look like "
        "cosmic rays. Energies take the flare for a black body of 9,000 K and TESS's passband for a box; "
        "flare_ed_err knows the noise alone. flare_p_sd is the spread of networks of one shape and "
        "misses what all got wrong.",
        licence="BSD-3-Clause",
        command=command_of(flares.NAME, training, data=True),
        evaluate=f"skyloom model evaluate {flares.NAME} --data DATA",
        training=training,
        flags={flag.name: flag.description for flag in flares.FLAGS},
        reads=tuple(column.name for column in flares.reads(config)),
        writes=columns,
        scores=table.scores,
        reliability=table.reliability,
        inputs=(Input("curves", (CHANNELS, CHUNK + WINDOW - 1), "", (), None, flares.NORMALISATION),),
        architecture=architecture_of(estimator),
        tolerance={name: flares.TOLERANCE[name] for name in columns},
        domain=Domain(
            survey="TESS, two-minute cadence",
            bands=BANDS,
            depth="noise of 100 to 30,000 ppm in two minutes",
            cadence="120 s for 27 days, with a gap of one to two days",
            selection="stars drawn from skyloom.simulators.flares",
            simulated=True,
        ),
        priors=table.priors,
        out_of_scope="Other photometry than TESS's at two minutes; flares of galaxies, novae, microlensing; rates "
        "below the noise without injection and recovery; any single flare on which much depends.",
        subgroups=table.subgroups,
    )
