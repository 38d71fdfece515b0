"""Learning curves of both loops on published data, as a table and as a plot.

python -m skyloom.active.curves anomaly --data DIR [--seeds 10] [--output FILE] [--plot FILE]
python -m skyloom.active.curves followup --data DIR [--seeds 10] [--output FILE] [--plot FILE]

``anomaly`` hides PLAsTiCC's rare classes among the others and counts how many a person is shown in 100
labels. ``followup`` starts from SNPCC's biased spectroscopic sample and buys spectra, 40 a night. Both
data sets are simulated, by those who published them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.active.simulation import CONTROL, STATIC, Curves, anomaly_curves, followup_curves
from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.evaluation.plasticc import plasticc_of
from skyloom.evaluation.snpcc import BANDS, snpcc_of
from skyloom.evaluation.split import SEED, parts_of
from skyloom.evaluation.transient_anomaly import RARE
from skyloom.features.derived import METADATA, derive, source_features
from skyloom.models.transient_class import CLASSES
from skyloom.query.write import write_result

__all__ = ["main", "play_anomaly", "play_followup", "plot", "summary", "table_of"]

_WRONG = 2
_SHOWN_PLACES = 5
_STRATEGIES = ("uncertainty", "disagreement", CONTROL)
"""Of two classes, margin and entropy ask for the same objects as uncertainty."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#999999")


def play_anomaly(
    data: pa.Table | Path | None, *, seeds: int = 10, labels: int = 100, batch: int = 5
) -> tuple[Curves, ...]:
    """Play the anomaly loop on PLAsTiCC's training set; its rare classes are the anomalies.

    The features are the columns of `lightcurve-features` as they are: what `skyloom rank` reads of its layer.
    """
    table = plasticc_of(data)
    names = [name for name in table.column_names if name.startswith("lcf_")]
    features = np.column_stack([_floats(table, name) for name in names])
    codes = [code for code, label in CLASSES.items() if label in RARE]
    rare = np.isin(table["target"].to_numpy(), codes)
    ids = table["object_id"].to_numpy()
    return (anomaly_curves(features, ids, rare, seeds=seeds, labels=labels, batch=batch, say=_say),)


def play_followup(
    data: pa.Table | Path | None, *, seeds: int = 10, nights: int = 10, spectra: int = 40
) -> tuple[Curves, ...]:
    """Play the follow-up loop on SNPCC: type Ia or not, from its spectroscopic sample on.

    A quarter of the objects without a spectrum is held out and scored.
    """
    table = snpcc_of(data)
    flux = {name: np.stack([_floats(table, f"lcf_{name}_{band}") for band in BANDS]) for name in source_features()}
    features = derive(flux, {name: _floats(table, name) for name in METADATA}, BANDS)
    ids = table["object_id"].to_numpy()
    start = np.array(table["spec_training"].to_pylist(), dtype=bool)
    kind = np.where(np.array(table["sim_type"].to_pylist()) == "Ia", "sn-ia", "other")
    held_out = parts_of(ids, seed=SEED).held_out & ~start
    return followup_curves(
        features,
        ids,
        kind,
        start=start,
        held_out=held_out,
        positive="sn-ia",
        seeds=seeds,
        nights=nights,
        spectra=spectra,
        strategies=_STRATEGIES,
        say=_say,
    )


def table_of(played: Sequence[Curves]) -> pa.Table:
    """Return one row per metric, policy, seed and number of labels."""
    rows = [
        {"metric": curves.metric, "policy": policy, "seed": seed, "labels": int(labels), "value": float(value)}
        for curves in played
        for policy, runs in curves.values.items()
        for seed, run in enumerate(runs)
        for labels, value in zip(curves.labels, run, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def summary(played: Sequence[Curves]) -> str:
    """Return the curves as text: mean and standard deviation over seeds, and what the control is beaten by."""
    lines = []
    for curves in played:
        places = np.unique(np.linspace(0, len(curves.labels) - 1, _SHOWN_PLACES + 1).round().astype(int))
        width = max(map(len, curves.values))
        n_seeds = len(next(iter(curves.values.values())))
        lines.append(f"{curves.metric}, mean ± standard deviation over {n_seeds} seeds, by labels given")
        lines.append(" " * width + "".join(f"{curves.labels[k]:>19}" for k in places))
        for policy, runs in curves.values.items():
            mean, spread = runs.mean(axis=0), runs.std(axis=0, ddof=1)
            cells = "".join(f"{f'{mean[k]:.4g} ± {spread[k]:.2g}':>19}" for k in places)
            lines.append(f"{policy:<{width}}{cells}")
        for policy in curves.values:
            for other in (CONTROL, STATIC):
                if other not in curves.values or policy in {CONTROL, other}:
                    continue
                lead, error = curves.lead(policy, other)
                times, times_error = curves.ratio(policy, other)
                lines.append(
                    f"  {policy} against {other} at the end: {lead:+.4g} ± {error:.2g}, "
                    f"{times:.3g} ± {times_error:.2g} times as much (standard errors)"
                )
        lines.append("")
    return "\n".join(lines)


def plot(played: Sequence[Curves], path: Path, *, title: str = "") -> None:
    """Draw the curves: mean over seeds, and a band of one standard deviation.

    Raises
    ------
    SpecError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "plots need matplotlib: pip install 'skyloom[train]', or leave --plot out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER) from error
    figure = Figure(figsize=(5.5 * len(played), 4.2), layout="constrained")
    for axes, curves in zip(figure.subplots(1, len(played), squeeze=False)[0], played, strict=True):
        for colour, (policy, runs) in zip(_COLOURS, curves.values.items(), strict=False):
            mean, spread = runs.mean(axis=0), runs.std(axis=0, ddof=1)
            axes.plot(curves.labels, mean, color=colour, label=policy)
            axes.fill_between(curves.labels, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        axes.set_xlabel("labels given")
        axes.set_ylabel(curves.metric)
        axes.legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def main(argv: Sequence[str] | None = None) -> int:
    """Play a loop, print what came of it, and write table and plot where asked."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.active.curves", description=__doc__.splitlines()[0])
    parser.add_argument("loop", choices=("anomaly", "followup"))
    parser.add_argument("--data", type=Path, help="folder of the published files; default $SKYLOOM_DATA")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--output", type=Path, help="table of every curve: .parquet, .csv or .ecsv")
    parser.add_argument("--plot", type=Path, help="picture of the curves: .png, .pdf or .svg")
    chosen = parser.parse_args(argv)
    try:
        if chosen.loop == "anomaly":
            played = play_anomaly(chosen.data, seeds=chosen.seeds)
            title = "Rare classes of PLAsTiCC (simulated) shown to a person"
        else:
            played = play_followup(chosen.data, seeds=chosen.seeds)
            title = "SN Ia or not in SNPCC (simulated), starting from its biased spectroscopic sample"
        sys.stdout.write(f"{title}\n\n{summary(played)}")
        if chosen.output is not None:
            write_result(table_of(played), chosen.output, overwrite=True)
        if chosen.plot is not None:
            plot(played, chosen.plot, title=title)
    except SkyloomError as error:
        sys.stderr.write(f"error [{error.kind}]: {error.message}\n")
        return _WRONG
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    values = table[name].cast(pa.float64()).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


if __name__ == "__main__":
    sys.exit(main())
