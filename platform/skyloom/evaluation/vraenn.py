"""How well vraenn puts rare transients first, and how early, beside forests on hand-made features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.evaluation.scores import ScoreTable, area_under_roc, bootstrap
from skyloom.evaluation.subgroups import binned, subgroup_scores
from skyloom.evaluation.vraenn_baselines import rankings
from skyloom.evaluation.vraenn_sample import RARE, Sample, sample, transient_rows
from skyloom.models import vraenn
from skyloom.models.card import Card, Score, Subgroup
from skyloom.models.vraenn.columns import CUTS_D
from skyloom.runtime.contract import System, Weights

__all__ = ["REPORTED", "THINNED_TO", "evaluate", "measure", "purity_of_thinned_top", "thinning"]

_AUC = "AUC, rare against common"
_PURITY = "purity of top 1 %, rare being 5 %"
_LIFT = "that over the share of the rare"
_OURS = "ours (simulated: PLAsTiCC)"
REPORTED = (Score("purity by cuts in score and error", "reported: Villar et al. 2021, PLAsTiCC test", 0.95),)
"""Abstract of Villar et al. 2021: "~95 % pure"; of other objects, redshifts and cuts: no comparison."""

THINNED_TO = 0.05
"""Share of rare objects that purities are for: a survey has few; of the training set they are a fifth."""
_ALIKE = ("sn91bg", "sniax")
"""Rare classes whose light curves are much like those of common ones."""
_TOP = 0.01
_FLAGGED_PCT = 99.0


def measure(system: System, card: Card, weights: Weights, data: pa.Table | Path | None) -> ScoreTable:
    """Score stored weights on the transients of PLAsTiCC that training held out.

    Parameters
    ----------
    system : System
    card, weights
        Of the same bundle.
    data : table or path, optional
        As `skyloom.evaluation.plasticc.plasticc_rows` gives it, or its folder.
    """
    rows, config = transient_rows(data), system.Config()
    held_out = sample(rows, config, held_out_only=True)
    return evaluate(system.build(config, weights), rows, held_out, variant=card.variant)


def evaluate(estimator: vraenn.Estimator, rows: pa.Table, held_out: Sample, *, variant: str) -> ScoreTable:
    """Rank the held-out transients; the rare ones should come first.

    Parameters
    ----------
    estimator : Estimator
    rows : pyarrow.Table
        All of `transient_rows`: the baselines' forests are grown on the training part.
    held_out : Sample
        Of the held-out ones alone.
    variant : str

    Returns
    -------
    ScoreTable
        Errors are from a bootstrap over the objects.
    """
    out = vraenn.predict(estimator, held_out.arrays)
    rare, score = held_out.rare, np.asarray(out["vr_score"], dtype=np.float64)
    ids = held_out.rows["object_id"].to_numpy().astype(np.int64)
    forest = np.asarray(out["vr_forest"], dtype=np.float64)
    ranked = {_OURS: score, "ours, isolation forest (vr_forest)": forest, **rankings(rows, ids)}
    scores = [each for who, ranking in ranked.items() for each in _scores(who, ranking, rare)]
    scores += _classes(held_out, ranked)
    scores += _evolution(out, held_out)
    return ScoreTable(
        system=vraenn.NAME,
        variant=variant,
        n=len(rare),
        scores=(*scores, *REPORTED),
        subgroups=_subgroups(held_out, score),
        note=f"Rare: {', '.join(RARE.values())}, {rare.mean():.1%} of the held-out objects, thinned by weights to "
        f"{THINNED_TO:.0%} for purities; none was seen in training. Redshifts are photometric ones of hosts.",
    )


def thinning(rare: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights (N,) with which rare objects are `THINNED_TO` of all; common ones have 1."""
    many = THINNED_TO / (1.0 - THINNED_TO) * float((~rare).sum()) / max(1, int(rare.sum()))
    return np.where(rare, many, 1.0)


def purity_of_thinned_top(score: NDArray[np.floating], rare: NDArray[np.bool_]) -> float:
    """Return the share of rare ones, weighted by `thinning`, in the 1 % of all weight that scores highest."""
    order = np.argsort(-score, kind="stable")
    weight = thinning(rare)[order]
    before = np.cumsum(weight) - weight
    # The object on the border counts with the part of it that lies inside.
    inside = np.clip(_TOP * weight.sum() - before, 0.0, weight)
    return float((inside * rare[order]).sum() / inside.sum())


def _scores(who: str, ranking: NDArray[np.floating], rare: NDArray[np.bool_]) -> list[Score]:
    purity = purity_of_thinned_top(ranking, rare)
    error = bootstrap(purity_of_thinned_top, ranking, rare)
    return [
        Score(_AUC, who, area_under_roc(ranking, rare), bootstrap(area_under_roc, ranking, rare)),
        Score(_PURITY, who, purity, error),
        Score(_LIFT, who, purity / THINNED_TO, error / THINNED_TO),
    ]


def _classes(held_out: Sample, ranked: Mapping[str, NDArray[Any]]) -> list[Score]:
    """Return the AUC of each rare class, ours and the forests': each class was left out of training."""
    out = []
    alike = np.isin(held_out.target, [code for code, label in RARE.items() if label in _ALIKE])
    for who in list(ranked)[:3]:
        pair = (ranked[who][~alike], held_out.rare[~alike])
        name = f"{_AUC}, without {' and '.join(_ALIKE)}"
        out.append(Score(name, who, area_under_roc(*pair), bootstrap(area_under_roc, *pair)))
        for code, label in RARE.items():
            one = held_out.target == code
            among = one | ~held_out.rare
            pair = (ranked[who][among], one[among])
            out.append(
                Score(f"AUC, {label} against common", who, area_under_roc(*pair), bootstrap(area_under_roc, *pair))
            )
    return out


def _evolution(out: Mapping[str, NDArray[Any]], held_out: Sample) -> list[Score]:
    """Return how well the score does early, and which objects are flagged before they are brightest."""
    scores = []
    rare = held_out.rare
    for day in CUTS_D:
        then = np.ma.filled(out[f"vr_score_t{day}"], np.nan)
        known = np.isfinite(then)
        pair = (then[known], rare[known])
        scores.append(
            Score(
                f"{_AUC}, {day} d after detection", _OURS, area_under_roc(*pair), bootstrap(area_under_roc, *pair)
            )
        )
        scores.append(Score(f"share with a score at {day} d", _OURS, float(known.mean())))
    flagged = np.asarray(out["vr_pct"]) > _FLAGGED_PCT
    early = _flagged_early(out)
    groups = {"common": ~rare, **{label: held_out.target == code for code, label in RARE.items()}}
    for label, one in groups.items():
        if not one.any():
            continue
        better = "lower" if label == "common" else "higher"
        for when, which in ((f"flagged, {label}", flagged), (f"flagged before the peak, {label}", early)):
            found = which[one].astype(np.float64)
            scores.append(Score(when, _OURS, float(found.mean()), bootstrap(np.mean, found), better))
    return scores


def _flagged_early(out: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Whether the score passed that of the 99th percentile at a cut no later than the brightest point, (M,)."""
    pct, score = np.asarray(out["vr_pct"]), np.asarray(out["vr_score"])
    above = score[pct > _FLAGGED_PCT]
    least = above.min() if len(above) else np.inf
    early = np.zeros(len(score), dtype=bool)
    for day in CUTS_D:
        then = np.ma.filled(out[f"vr_score_t{day}"], -np.inf)
        early |= (then >= least) & (day <= np.asarray(out["vr_rise"]))
    return early


def _subgroups(held_out: Sample, score: NDArray[np.float64]) -> tuple[Subgroup, ...]:
    """Return the AUC by redshift and by brightness above the noise."""
    redshift = held_out.rows["hostgal_photoz"].to_numpy().astype(np.float64)
    whole = {name: held_out.arrays[name][:, -1] for name in ("limit", "peak")}
    above = -whole["peak"].astype(np.float64) - whole["limit"]
    error = held_out.rows["hostgal_photoz_err"].to_numpy().astype(np.float64)
    groups = {
        "photometric redshift": binned(redshift, (0.1, 0.2, 0.4, 0.7)),
        "error of that redshift": binned(error, (0.02, 0.05, 0.1, 0.3)),
        "peak above the noise": binned(above, (2.5, 3.5, 5.0), "mag"),
    }
    return tuple(
        each
        for by, group in groups.items()
        for each in subgroup_scores(_AUC, area_under_roc, (score, held_out.rare), by=by, group=group)
    )
