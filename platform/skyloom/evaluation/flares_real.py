"""How well flares does on real light curves of TESS, held against what others list there.

Nothing of it was trained or tuned on any real light curve. Stars are scored if Günther et al. 2020 list a flare
of theirs, or a hash of their number says so; the others are left for tuning, which nobody did.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.evaluation.flare_events import Tally, best_at_precision, matched, share, tally_of
from skyloom.evaluation.flare_outliers import outlier_events, settings
from skyloom.evaluation.flare_stars import MJD_OF_BTJD, STELLA, Flares, flares_folder, listed_flares, tess_rows
from skyloom.evaluation.flares_simulated import average_precision
from skyloom.evaluation.scores import bootstrap
from skyloom.evaluation.split import parts_of
from skyloom.models.card import Score
from skyloom.models.flares.columns import Config, prepared_of
from skyloom.models.flares.curves import Prepared
from skyloom.models.flares.energy import bolometric_energy
from skyloom.models.flares.estimator import Estimator, Judgement, events_of, judge
from skyloom.models.flares.events import Events
from skyloom.timeseries.lightcurves import LightCurves

__all__ = ["real_scores", "scored_stars", "stella_scores"]

OURS = "ours (real)"
_BEST = "baseline: outliers, its best at our precision (real)"
_USUAL = "baseline: 3 cadences above 3 sigma (real)"
_SIGMA = 3.0
_SLACK_CADENCES = 5
_DWARFS = "custom apertures, 120 s"

Pair = tuple[NDArray[np.int64], NDArray[np.int64]]


class _Curve:
    """One real light curve: what is seen, what is listed, where that lies."""

    def __init__(
        self, number: int, curve: Prepared, gunther: Flares, vetted: Flares, judgement: Judgement
    ) -> None:
        self.number, self.curve, self.judgement = number, curve, judgement
        self.gunther = _nodes(curve, gunther.peak_mjd)
        self.energy_erg = gunther.energy_erg[_inside(curve, gunther.peak_mjd)]
        self.vetted = _nodes(curve, vetted.peak_mjd)
        spans = (_nodes(curve, vetted.start_mjd), _nodes(curve, vetted.stop_mjd))
        middle = (
            [np.arange(a, b + 1) for a, b in zip(*spans, strict=False)] if len(spans[0]) == len(spans[1]) else []
        )
        self.listed = np.concatenate([self.gunther, self.vetted, *middle]).astype(np.int64)
        stands = np.sinh(curve.channels[0].astype(np.float64))
        near = [stands[max(0, node - 2) : node + 3].max() for node in self.gunther.tolist()]
        self.clear = self.gunther[np.array(near, dtype=np.float64) >= _SIGMA]


def scored_stars(tic: NDArray[np.integer], listed: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which stars are scored: those with listed flares, and four in ten of the others."""
    return np.isin(tic, listed) | ~parts_of(tic).train


def real_scores(estimator: Estimator, data: str | Path | None = None) -> list[Score]:
    """Score real light curves.

    Parameters
    ----------
    estimator : Estimator
    data : path, optional
        As for `skyloom.evaluation.flare_stars.flares_folder`.

    Returns
    -------
    list of Score
        Recall of the flares of Günther et al. that stand 3 sigma out of the light curve, and that can be judged,
        and precision of what is found, where a flare is what either list has; errors are from a bootstrap over
        light curves. Flares that nobody listed count as wrong, so that precision is a lower bound.
    """
    curves = _curves(estimator, data)
    events = [events_of(estimator, each.curve, each.judgement) for each in curves]
    ours = _tally(curves, [(each.first, each.last) for each in events])
    usual = _tally(curves, _outliers(curves, _SIGMA, 3, 0))
    best = best_at_precision((_tally(curves, _outliers(curves, *each)) for each in settings()), ours.precision)
    scores = [
        Score("light curves", OURS, float(len(curves))),
        Score("Günther flares above 3 sigma", OURS, float(ours.listed.sum())),
        *_of(ours, OURS),
        *([] if best is None else _of(best, _BEST)),
        *_of(usual, _USUAL),
        _vetted_recall(curves, [(each.first, each.last) for each in events], OURS),
        _vetted_recall(curves, _outliers(curves, _SIGMA, 3, 0), _USUAL),
    ]
    return [*scores, *_energies(curves, events, flares_folder(data))]


def _curves(estimator: Estimator, data: str | Path | None) -> list[_Curve]:
    """Return the scored light curves of the dwarfs, which the lists speak of."""
    table = tess_rows(data)
    table = table.filter(pa.compute.equal(table["source"], _DWARFS))
    gunther, vetted = listed_flares(data)
    tic, ids = table["tic"].to_numpy(), table["lightcurve_id"].to_numpy()
    kept = scored_stars(tic, np.unique(gunther.lightcurve_id // 1000))
    found = []
    for row in np.flatnonzero(kept).tolist():
        curve = _prepared(table.slice(row, 1), estimator.config)
        if curve is not None:
            number = int(ids[row])
            found.append(
                _Curve(number, curve, gunther.of(number), vetted.of(number), judge(estimator.network, curve))
            )
    return found


def _prepared(row: pa.Table, config: Config) -> Prepared | None:
    curves, _, _ = prepared_of(LightCurves.from_arrow(row["lc"], config.bands), config)
    return curves[0] if curves else None


def _inside(curve: Prepared, mjd: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which times lie at a judged node."""
    place = np.clip(np.searchsorted(curve.mjd, mjd), 1, len(curve.mjd) - 1)
    place = place - (mjd - curve.mjd[place - 1] < curve.mjd[place] - mjd)
    return np.asarray((np.abs(curve.mjd[place] - mjd) < 2.0 * curve.cadence_d) & curve.judged[place])


def _nodes(curve: Prepared, mjd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the nodes of times, of those that lie at a judged node."""
    times = mjd[_inside(curve, mjd)]
    place = np.clip(np.searchsorted(curve.mjd, times), 1, len(curve.mjd) - 1)
    return np.asarray(place - (times - curve.mjd[place - 1] < curve.mjd[place] - times), dtype=np.int64)


def _outliers(curves: list[_Curve], sigmas: float, least: int, trend: int) -> list[Pair]:
    return [outlier_events(each.curve, sigmas, least=least, trend=trend) for each in curves]


def _tally(curves: list[_Curve], events: list[Pair]) -> Tally:
    counts = []
    for each, (first, last) in zip(curves, events, strict=True):
        right = matched(first, last, each.listed, slack=_SLACK_CADENCES).any(axis=1)
        found = matched(first, last, each.clear, slack=_SLACK_CADENCES).any(axis=0)
        counts.append((int(right.sum()), len(first), int(found.sum()), len(each.clear)))
    return tally_of(counts)


def _of(tally: Tally, who: str) -> list[Score]:
    return [
        Score(
            "recall, Günther flares above 3 sigma",
            who,
            tally.recall,
            bootstrap(share, tally.recalled, tally.listed),
        ),
        Score("precision against both lists", who, tally.precision, bootstrap(share, tally.right, tally.found)),
        Score("events found", who, float(tally.found.sum())),
    ]


def _vetted_recall(curves: list[_Curve], events: list[Pair], who: str) -> Score:
    hit = np.array(
        [
            int(matched(first, last, each.vetted, slack=_SLACK_CADENCES).any(axis=0).sum())
            for each, (first, last) in zip(curves, events, strict=True)
        ]
    )
    total = np.array([len(each.vetted) for each in curves])
    return Score("recall, vetted flares", who, share(hit, total), bootstrap(share, hit, total))


def _energies(curves: list[_Curve], events: list[Events], place: Path) -> list[Score]:
    """Return how our energies compare with those of Günther et al., of flares that both have."""
    table = pq.read_table(place / "gunther2020_tess_flares.parquet", columns=["TESS", "Teff", "Radius"])
    stars = {
        int(t): (float(k), float(r))
        for t, k, r in zip(*(table[c].to_pylist() for c in ("TESS", "Teff", "Radius")), strict=True)
        if k is not None and r is not None
    }
    log = []
    for each, found in zip(curves, events, strict=True):
        star = stars.get(each.number // 1000)
        hit = matched(found.first, found.last, each.gunther)
        for k in np.flatnonzero(hit.sum(axis=1) == 1) if star else ():
            theirs = each.energy_erg[np.flatnonzero(hit[k])[0]]
            ours = float(bolometric_energy(found.ed_s[k], *star)) if star else np.nan
            if theirs > 0 and ours > 0:
                log.append(np.log10(ours / theirs))
    return [
        Score("flares with an energy in both", OURS, float(len(log))),
        *([Score("energy, ours over Günther's, median dex", OURS, float(np.median(log)))] if log else []),
    ]


def stella_scores(estimator: Estimator, data: str | Path | None = None) -> list[Score]:
    """Score the predictions that stella's team published for its own test set, and both on the windows we have.

    Returns
    -------
    list of Score
        Their ensemble on all its test windows, recomputed; then theirs and ours on those of them whose light curve
        is here. Ours is right of a window if its highest cadence within 5 of the middle is on the right side
        of 0.5.
    """
    place = flares_folder(data)
    table = pq.read_table(place / STELLA)
    truth, p = table["gt"].to_numpy() == 1, table["pred_mean"].to_numpy()
    who = f"reported: stella's ensemble, its own {len(truth)} test windows, recomputed"
    at = p >= 0.5
    scores = [
        Score(
            "average precision, windows", who, average_precision(p, truth), bootstrap(average_precision, p, truth)
        ),
        Score("accuracy, windows at 0.5", who, float((at == truth).mean())),
        Score("precision, windows at 0.5", who, float(truth[at].mean())),
        Score("recall, windows at 0.5", who, float(at[truth].mean())),
    ]
    ours, same = _same_windows(estimator, table, data)
    for name, values in (("ours", ours), ("reported: stella's ensemble", p[same])):
        of = f"{name}, the {int(same.sum())} of these windows whose light curve is here (real)"
        scores += [
            Score("average precision, windows", of, average_precision(values, truth[same])),
            Score("accuracy, windows at 0.5", of, float(((values >= 0.5) == truth[same]).mean())),
        ]
    return scores


def _same_windows(
    estimator: Estimator, table: pa.Table, data: str | Path | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return our probabilities of stella's test windows, and which of them we have."""
    rows = tess_rows(data)
    tic, mjd = table["tic"].to_numpy().astype(np.int64), table["tpeak"].to_numpy() + MJD_OF_BTJD
    p = np.full(len(tic), np.nan)
    of_rows = rows["tic"].to_numpy()
    for row in np.flatnonzero(np.isin(of_rows, tic)).tolist():
        curve = _prepared(rows.slice(row, 1), estimator.config)
        if curve is None:
            continue
        mean = judge(estimator.network, curve).mean
        for k in np.flatnonzero(tic == of_rows[row]).tolist():
            for node in _nodes(curve, mjd[k : k + 1]).tolist():
                p[k] = np.nanmax(mean[max(0, node - 5) : node + 6])
    same = ~np.isnan(p)
    return p[same], same
