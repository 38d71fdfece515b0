"""How well flares does: on simulated stars that it never saw, and on real ones, beside finders of outliers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from skyloom.evaluation.flare_sample import parts_of_stars, stars_of
from skyloom.evaluation.flares_real import real_scores, stella_scores
from skyloom.evaluation.flares_simulated import scores_on_stars
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import flares
from skyloom.models.card import Card
from skyloom.runtime.contract import System, Weights

__all__ = ["evaluate", "measure"]


def measure(system: System, card: Card, weights: Weights, data: pa.Table | Path | None) -> ScoreTable:
    """Score stored weights on the stars that were held out when they were made, and on real ones if there are any.

    Parameters
    ----------
    system : System
    card, weights
        Of the same bundle.
    data : path, optional
        Folder of the real light curves, or the one above it.

    Raises
    ------
    DataError
        ``BAD_WEIGHTS`` if the card does not say which stars were held out.
    SpecError
        If `data` are a table.
    """
    try:
        stars, days = int(card.training["recipe.stars"]), float(card.training["recipe.days"])
        seed = int(card.training["seed"])
    except KeyError as error:
        msg = f"the card of {card.name} {card.variant} lacks training.{error.args[0]}: no stars can be drawn"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=card.name) from error
    if isinstance(data, pa.Table):
        msg = "flares is measured on a folder of light curves, not on a table; give the folder with --data"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    estimator = flares.build(flares.Config(), weights)
    return evaluate(estimator, stars=stars, days=days, seed=seed, data=data, variant=card.variant)


def evaluate(
    estimator: flares.Estimator, *, stars: int, days: float, seed: int, data: Path | None, variant: str
) -> ScoreTable:
    """Score held-out stars of a simulation, and real ones.

    Parameters
    ----------
    estimator : Estimator
    stars, days, seed
        Of the simulation that the weights were made on.
    data : path, optional
        As for `measure`; where there are no real light curves, the scores are of simulated ones alone.
    variant : str
    """
    numbers = np.arange(stars)
    simulated = scores_on_stars(
        estimator, stars_of(numbers[parts_of_stars(numbers).held_out].tolist(), seed=seed, days=days)
    )
    note = (
        "Real: ultracool dwarfs seen by TESS; a flare that neither list has counts as wrong, so that precision is "
        "a lower bound. Simulated: flares with three cadences above 3 sigma must be found, fainter ones count "
        "neither way."
    )
    try:
        real = [*real_scores(estimator, data), *stella_scores(estimator, data)]
    except NotFoundError:
        real, note = [], "The real light curves are not there: scores are of simulated stars alone. " + note
    return ScoreTable(
        system=flares.NAME,
        variant=variant,
        n=simulated.n,
        scores=(*simulated.scores, *real),
        subgroups=simulated.subgroups,
        priors={"in a flare": simulated.share_flaring, "quiet": 1.0 - simulated.share_flaring},
        reliability=simulated.reliability,
        note=note,
    )
