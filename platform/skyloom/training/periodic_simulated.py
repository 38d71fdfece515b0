"""The networks of periodic-class on ten kinds of simulated stars, whose true kinds are known.

python -m skyloom.training.periodic_simulated [--stars 3000] [--seed 0]

Draws stars of `skyloom.simulators.variables`, folds them at the period of their catalog (1 in 100 is wrong by
a factor of two), trains the iTCN and its zero-padded twin from five seeds each, and prints their scores on
as many other stars beside a random forest on the numbers that both read. All of it is simulated; no weights
are kept. Source: Zhang & Bloom 2021 (ads:2021MNRAS.505..515Z), whose ten kinds are of OGLE-III.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.periodic_class import REPORTED, flips, singles
from skyloom.evaluation.scores import ScoreTable, balanced_accuracy, bootstrap
from skyloom.models import periodic_class
from skyloom.models.card import Score
from skyloom.simulators.variables import KINDS, variables
from skyloom.timeseries.cleaning import by_band
from skyloom.timeseries.folding import fold
from skyloom.training.novelty import robust_scale
from skyloom.training.periodic_class import Recipe
from skyloom.training.phase_networks import PhaseExamples, fit_ensemble
from skyloom.training.request import TrainRequest

if TYPE_CHECKING:
    from skyloom.training.loop import History

__all__ = ["RECIPE", "Stars", "main", "measure", "stars_of"]

RECIPE = Recipe(width=16, bins=48, dropout=0.1, epochs=10, noise=0.05)
"""Narrower than what is shipped for EROS-1: there are no labels by people to be learnt by heart."""

_OURS = "ours (simulated), mean probability of networks"
_TREES = 300


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """N simulated stars, folded at the periods of their catalog."""

    folded: NDArray[np.float32]
    """As the networks read it, (N, 2 B, bins)."""
    numbers: NDArray[np.float32]
    """Mean and decimal logarithm of the scatter in each passband, then that of the period, (N, 2 B + 1)."""
    target: NDArray[np.int64]
    """Place in `skyloom.simulators.variables.KINDS`, (N,)."""


def stars_of(n: int, *, seed: int, start: int = 0, bins: int) -> Stars:
    """Draw stars `start` to ``start + n - 1`` of a seed and fold them."""
    drawn = variables(n, seed=seed, start=start)
    curves, _ = by_band(drawn.curves)
    folded = fold(curves, drawn.period_d, bins)
    magnitude = curves.flux.reshape(len(curves.bands), n, -1)
    columns = [*magnitude.mean(axis=2), *np.log10(magnitude.std(axis=2)), np.log10(drawn.period_d)]
    return Stars(
        folded=np.concatenate([folded.value, folded.trust], axis=1),
        numbers=np.stack(columns, axis=1).astype(np.float32),
        target=drawn.kind,
    )


def measure(stars: int, recipe: Recipe, *, seed: int = 0) -> ScoreTable:
    """Train on so many stars, and score on as many others.

    Parameters
    ----------
    stars : int
    recipe : Recipe
        Of the networks.
    seed : int
        Of stars and networks.

    Raises
    ------
    SpecError
        If there are no stars.
    """
    from sklearn.ensemble import RandomForestClassifier

    from skyloom.runtime.networks import Network

    shown, test = (stars_of(stars, seed=seed, start=start, bins=recipe.bins) for start in (0, stars))
    scaling = robust_scale(shown.numbers)
    examples = PhaseExamples(
        shown.folded, periodic_class.prepared(shown.numbers, *scaling), shown.target, len(KINDS)
    )
    curves: dict[str, History] = {}
    with tempfile.TemporaryDirectory(prefix="skyloom-periodic-") as folder:
        request = TrainRequest(output=Path(folder, "simulated"), variant="simulated", seed=seed)
        ours, twin = (
            Network(fit_ensemble(examples, recipe, request, twin=is_twin, curves=curves))
            for is_twin in (False, True)
        )
    extras = periodic_class.prepared(test.numbers, *scaling)
    members, of_twin = (periodic_class.member_probabilities(net, test.folded, extras)[0] for net in (ours, twin))
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=2, class_weight="balanced_subsample", random_state=0, n_jobs=1
    ).fit(shown.numbers, shown.target)
    by_forest = np.zeros((stars, len(KINDS)))
    by_forest[:, forest.classes_] = forest.predict_proba(test.numbers)
    scores = [
        *_scores(_OURS, periodic_class.average(members), test.target),
        *singles(members, of_twin, test.target),
        *flips((ours, twin), test.folded, extras),
        *_scores("baseline: random forest, means, scatters, period", by_forest, test.target),
        Score("balanced accuracy", "baseline: class prior", 1.0 / len(KINDS)),
        *REPORTED,
    ]
    share = np.bincount(shown.target, minlength=len(KINDS)) / stars
    return ScoreTable(
        system=periodic_class.NAME,
        variant="simulated, ten kinds",
        n=stars,
        scores=tuple(scores),
        priors=dict(zip(KINDS, share.tolist(), strict=True)),
        note="Simulated stars, whose shapes are drawn from settings: the true kinds are known, and how hard it is "
        "was set by us. Reported numbers are of real stars.",
    )


def _scores(who: str, p: NDArray[np.float64], truth: NDArray[np.int64]) -> list[Score]:
    given = p.argmax(axis=1)
    return [
        Score("balanced accuracy", who, balanced_accuracy(p, truth), bootstrap(balanced_accuracy, p, truth)),
        *(
            Score(f"recall, {name}", who, float((given[truth == k] == k).mean()))
            for k, name in enumerate(KINDS)
            if (truth == k).any()
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the scores."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from skyloom.runtime.device import DeviceSettings, use

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stars", type=int, default=3000, help="to train on, and to score: so many each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    with use(DeviceSettings("cpu", threads=1)), threadpool_limits(1):
        table = measure(options.stars, RECIPE, seed=options.seed)
    sys.stdout.write(table.render() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
