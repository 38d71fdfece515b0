"""Finding periods, against single calls of the libraries that the field uses.

Run it by hand: ``python -m tests.benchmarks.periods [--stars 60] [--rounds 3]``.
Simulated stars with 120 points in each of two passbands; one core; only ratios within a round count.

``search``
    What the platform does: periodogram, Fourier series at its peaks, period, error, chance of noise.
``periodogram``
    The first part of it: the power of both passbands on the grid.
``astropy``
    The same powers from `astropy.timeseries.LombScargle` by its fast method, a call per passband.
``light-curve``
    `light_curve.Periodogram` by its fast method, a call per star: its grid is at least as fine, but errors
    weigh passbands only, not points, and the mean does not float.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from skyloom.features.periodogram import chi2_reduction
from skyloom.features.periods import PeriodSettings, find_periods
from skyloom.simulators.variables import variables
from skyloom.timeseries.cleaning import by_band
from skyloom.timeseries.lightcurves import BandLightCurves
from tests.benchmarks.interleaved import ratios, say, take_turns

SETTINGS = PeriodSettings()


def grid(curves: BandLightCurves, row: int) -> tuple[float, float, int]:
    """Return first frequency, step and number of frequencies that `find_periods` uses for a row."""
    points = [segment(curves, band, row) for band in range(len(curves.bands))]
    span = max(curves.mjd[p.stop - 1] for p in points) - min(curves.mjd[p.start] for p in points)
    step = 1.0 / (SETTINGS.samples_per_peak * span)
    return 1.0 / span, step, math.floor((1.0 / SETTINGS.shortest_d - 1.0 / span) / step) + 1


def segment(curves: BandLightCurves, band: int, row: int) -> slice:
    """Return where the points of a band of a row lie."""
    return slice(*curves.offsets[band * curves.rows + row :][:2])


def powers(curves: BandLightCurves, row: int, of_band: Callable[..., np.ndarray]) -> np.ndarray:
    """Return the mean power of a row, weighted by the chi-square of its passbands."""
    total, constant = 0.0, 0.0
    for band in range(len(curves.bands)):
        points = segment(curves, band, row)
        mjd, mag, err = (values[points] for values in (curves.mjd, curves.flux, curves.flux_err))
        off, chi2 = of_band(mjd - curves.mjd[0], mag, err, *grid(curves, row))
        total, constant = total + off, constant + chi2
    return np.asarray(total / constant)


def by_skyloom(mjd, mag, err, first, step, n):
    """Return reduction and size of chi-square from the platform."""
    return chi2_reduction(mjd, mag, err**-2.0, first=first, step=step, n=n)


def by_astropy(mjd, mag, err, first, step, n):
    """Return the same from astropy."""
    from astropy.timeseries import LombScargle

    frequency = first + step * np.arange(n)
    power = LombScargle(mjd, mag, err).power(frequency, method="fast", assume_regular_frequency=True)
    chi2 = (((mag - np.average(mag, weights=err**-2.0)) / err) ** 2).sum()
    return power * chi2, chi2


def by_light_curve(curves: BandLightCurves) -> None:
    """Call the library's own periodogram star by star."""
    import light_curve

    for row in range(curves.rows):
        n = grid(curves, row)[2]
        frequency = np.linspace(0.0, 2.0 * np.pi / SETTINGS.shortest_d, 2 ** math.ceil(math.log2(n)) + 1)
        extractor = light_curve.Periodogram(peaks=1, freqs=frequency, fast=True, bands=list(curves.bands))
        points = [segment(curves, band, row) for band in range(len(curves.bands))]
        mjd, mag, err = (
            np.concatenate([values[p] for p in points]) for values in (curves.mjd, curves.flux, curves.flux_err)
        )
        band = np.repeat(curves.bands, [p.stop - p.start for p in points])
        order = np.argsort(mjd, kind="stable")
        mjd = mjd[order] + 1e-7 * np.arange(len(mjd))  # it asks for times that differ
        extractor(mjd, mag[order], err[order], band[order])


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stars", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    curves, _ = by_band(variables(options.stars, seed=0).curves)
    rows = range(options.stars)
    contestants: dict[str, Callable[[int], object]] = {
        "search": lambda _: find_periods(curves, SETTINGS),
        "periodogram": lambda _: [powers(curves, row, by_skyloom) for row in rows],
        "astropy": lambda _: [powers(curves, row, by_astropy) for row in rows],
        "light-curve": lambda _: by_light_curve(curves),
    }
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        taken = take_turns(contestants, options.rounds)
    sys.stdout.write(f"{options.stars} stars, {grid(curves, 0)[2]:,} frequencies, one core\n")
    for name, runs in taken.items():
        say(f"{name}, ms of CPU a star", [1e3 * run.cpu_s / options.stars for run in runs], digits=1)
    compare = partial(ratios, what="cpu_s")
    say("astropy / periodogram", compare(taken["astropy"], taken["periodogram"]), digits=1)
    say("light-curve / periodogram", compare(taken["light-curve"], taken["periodogram"]), digits=2)
    say("astropy / search", compare(taken["astropy"], taken["search"]), digits=1)
    say("light-curve / search", compare(taken["light-curve"], taken["search"]), digits=2)


if __name__ == "__main__":
    main()
