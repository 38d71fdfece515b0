"""How many published periods of variable stars the platform finds again.

python -m skyloom.evaluation.period_recovery --data DIR

Prints, for the RR Lyrae of Stripe 82 and the variable stars of EROS-1, the share of stars whose period is
found within 1 %, and what was found instead: multiples, and aliases by one or two cycles per day. For EROS-1 also
which of a period and its daily alias has the shorter string (`skyloom.features.string_length`), which fits no
shape and knows nothing of ours.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import SkyloomError
from skyloom.evaluation.variable_stars import EROS1_BANDS, STRIPE82_BANDS, eros1_rows, stripe82_rows
from skyloom.features.periods import MIN_BAND_POINTS, Periods, find_periods
from skyloom.features.string_length import shortest_string
from skyloom.timeseries.cleaning import by_band
from skyloom.timeseries.lightcurves import BandLightCurves, LightCurves

__all__ = ["HOW", "found_has_shorter_string", "main", "recovered", "search"]

HOW = ("period", "half", "double", "third", "triple", "daily alias", "other", "none found")
_RATIOS = {"period": 1.0, "half": 0.5, "double": 2.0, "third": 1.0 / 3.0, "triple": 3.0}
_DAILY = (-2.0, -1.0, 1.0, 2.0)
_MULTIPLES = 12
_LONGEST_D = 840.0
"""Time span of EROS-1."""


def recovered(
    found_d: NDArray[np.float64], true_d: NDArray[np.float64], tolerance: float = 0.01
) -> NDArray[np.str_]:
    """Return what each period found is to the true one: one of `HOW`, shape (N,).

    Parameters
    ----------
    found_d : ndarray, shape (N,)
        NaN where none was found.
    true_d : ndarray, shape (N,)
    tolerance : float
        Largest relative difference.

    Examples
    --------
    >>> recovered(np.array([0.5, 0.25, 1.0, 0.7]), np.array([0.5] * 4)).tolist()
    ['period', 'half', 'double', 'other']
    """
    out = np.full(len(found_d), "other", dtype="<U11")

    def mark(target_d: NDArray[np.float64], word: str) -> None:
        out[(out == "other") & (np.abs(found_d / target_d - 1.0) < tolerance)] = word

    for word, ratio in _RATIOS.items():
        mark(true_d * ratio, word)
    with np.errstate(divide="ignore"):
        for by in _DAILY:
            mark(1.0 / np.abs(1.0 / true_d + by), "daily alias")
    out[np.isnan(found_d)] = "none found"
    return out


def search(table: pa.Table, bands: Sequence[str]) -> Periods:
    """Find the periods of the rows of `skyloom.evaluation.variable_stars`."""
    curves, _ = by_band(LightCurves.from_arrow(table["lc"], bands))
    return find_periods(curves)


def found_has_shorter_string(
    curves: BandLightCurves, found_d: NDArray[np.float64], other_d: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return whether the string in the first passband is shorter at the period found than at another one.

    Parameters
    ----------
    curves : BandLightCurves
        N rows, clean.
    found_d, other_d : ndarray of float64, shape (N,)
        Their multiples are tried, too. NaN: not asked.

    Returns
    -------
    ndarray of float64, shape (N,)
        1 or 0; NaN where a period is NaN or the passband has too few points.
    """
    out = np.full(curves.rows, np.nan)
    for row in range(curves.rows):
        begin, end = curves.offsets[row : row + 2]
        if end - begin >= MIN_BAND_POINTS and np.isfinite(found_d[row] + other_d[row]):
            time_d, value = curves.mjd[begin:end] - curves.mjd[begin], curves.flux[begin:end]
            found, other = (
                shortest_string(time_d, value, float(p), multiples=_MULTIPLES, longest_d=_LONGEST_D)
                for p in (found_d[row], other_d[row])
            )
            out[row] = found < other
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return 0, or 2 where the data are missing."""
    parser = argparse.ArgumentParser(
        prog="python -m skyloom.evaluation.period_recovery", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, default=None, help="folder of the sets (default $SKYLOOM_DATA)")
    parser.add_argument("--only", choices=("stripe82", "eros1"), default=None, help="one set instead of both")
    options = parser.parse_args(argv)
    sets: dict[str, tuple[Callable[[Path | None], pa.Table], tuple[str, ...], str]] = {
        "stripe82": (stripe82_rows, STRIPE82_BANDS, "RR Lyrae of Stripe 82 (real; periods of Sesar et al. 2010)"),
        "eros1": (eros1_rows, EROS1_BANDS, "EROS-1 (real; periods annotated by people, aliases among them)"),
    }
    for name in sets if options.only is None else (options.only,):
        rows_of, bands, title = sets[name]
        try:
            table = rows_of(options.data)
        except SkyloomError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        started = time.process_time()
        found = search(table, bands)
        each = 1e3 * (time.process_time() - started) / table.num_rows
        _print(table, found, f"{title}: {table.num_rows} stars, {each:.0f} ms of one core each")
    return 0


def _print(table: pa.Table, found: Periods, title: str) -> None:
    how = recovered(found.period_d, table["period_d"].to_numpy())
    kind = np.array(table["kind"].to_pylist())
    groups = {name: kind == name for name in sorted(set(kind))}
    groups["all"] = np.ones(len(kind), dtype=bool)
    if "quality" in table.column_names:
        groups["quality 2 and up"] = table["quality"].to_numpy() >= 2
    lines = [title, f"{'':18s} {'n':>5s} " + " ".join(f"{word:>11s}" for word in HOW)]
    for name, inside in groups.items():
        shares = (float((how[inside] == word).mean()) for word in HOW)
        lines.append(f"{name:18s} {int(inside.sum()):5d} " + " ".join(f"{share:11.3f}" for share in shares))
    if "quality" in table.column_names:
        lines += ["", *_strings(table, found, how, kind)]
    sys.stdout.write("\n".join([*lines, "", ""]))


def _strings(table: pa.Table, found: Periods, how: NDArray[np.str_], kind: NDArray[np.str_]) -> Iterator[str]:
    """Yield how often the string agrees with us where we found a daily alias of the annotated period."""
    yield "daily alias found: the string in b is shorter at the period found than at the annotated one"
    curves, _ = by_band(LightCurves.from_arrow(table["lc"], EROS1_BANDS))
    annotated = table["period_d"].to_numpy()
    for name in ("CEP", "RRL"):
        rows = (how == "daily alias") & (kind == name)
        if rows.any():
            agree = found_has_shorter_string(curves, np.where(rows, found.period_d, np.nan), annotated)
            yield f"{name:18s} {int(rows.sum()):5d} {float(np.nanmean(agree)):11.3f}"


if __name__ == "__main__":
    sys.exit(main())
