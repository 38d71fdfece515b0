"""Resampling a spectrum with its noise: a kept sparse matrix against specutils' loop over pixels.

Run: ``python -m tests.benchmarks.spectra_resampling --rounds 15``. A seeded spectrum of 3904 pixels on a
logarithmic grid goes onto 2000 linear ones, contestants in turn, CPU time of each.
"""

from __future__ import annotations

import argparse
import statistics
import time

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance

from skyloom.spectra import Grid, Resampler

PIXELS = 3904
GRID = Grid(2000, start=4000.0, step=2.0)


def sample(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, flux and inverse variance."""
    rng = np.random.default_rng(seed)
    return 10 ** (3.5682 + 1e-4 * np.arange(PIXELS)), rng.normal(100, 9, PIXELS), rng.uniform(0.5, 2, PIXELS)


def by_specutils(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux and inverse variance on the grid."""
    from specutils import Spectrum
    from specutils.manipulation import FluxConservingResampler

    given = Spectrum(flux=flux * u.Jy, spectral_axis=wavelength * u.AA, uncertainty=InverseVariance(ivar))
    made = FluxConservingResampler()(given, GRID.wavelengths() * u.AA)
    return made.flux.value, made.uncertainty.array


def main() -> None:
    """Time both, in turn, and print milliseconds of CPU and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    contestants = {"specutils": by_specutils, "matrix": Resampler(GRID)}
    for run in contestants.values():  # imports, and the matrix that is kept
        run(*sample(0))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        given = sample(number)
        for name, run in contestants.items():
            start = time.process_time()
            run(*given)
            times[name].append(1e3 * (time.process_time() - start))
    for name, spent in times.items():
        print(f"{name:10s} {statistics.median(spent):8.3f} ms ({min(spent):.3f} to {max(spent):.3f})")
    ratios = [one / two for one, two in zip(times["specutils"], times["matrix"], strict=True)]
    print(f"ratio      {statistics.median(ratios):8.0f} ({min(ratios):.0f} to {max(ratios):.0f})")


if __name__ == "__main__":
    main()
