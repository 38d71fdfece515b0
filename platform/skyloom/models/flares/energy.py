"""How much a flare emits: from its equivalent duration and the star's temperature and radius.

The flare is a black body of one temperature, hotter than the star, that covers as much of the disc as its
amplitude asks for; TESS counts photons from 600 to 1,000 nm alike. Source: Shibayama et al. 2013
(ads:2013ApJS..209....5S). Departure: the passband is a box.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["bolometric_energy", "photons"]

_H, _C, _K = 6.62607015e-34, 2.99792458e8, 1.380649e-23
_SIGMA = 5.670374419e-8
_SUN_M = 6.957e8
_ERG = 1e7
_BOX_M = (600e-9, 1000e-9)
_STEPS = 200


def photons(temperature_k: ArrayLike) -> NDArray[np.float64]:
    """Return photons that a black body emits in TESS's passband, up to a constant; shape as given."""
    wave = np.linspace(*_BOX_M, _STEPS)
    x = _H * _C / (wave * _K * np.asarray(temperature_k, dtype=np.float64)[..., None])
    return np.asarray(np.trapezoid(wave**-4 / np.expm1(np.minimum(x, 700.0)), wave, axis=-1))


def bolometric_energy(
    duration_s: ArrayLike, teff_k: ArrayLike, radius_sun: ArrayLike, *, flare_k: float = 9000.0
) -> NDArray[np.float64]:
    """Return the energy of a flare in erg.

    Parameters
    ----------
    duration_s : array_like
        Equivalent duration in TESS's passband.
    teff_k, radius_sun : array_like
        Of the star: effective temperature, and radius in solar radii; shapes that broadcast. NaN gives NaN.
    flare_k : float
        Temperature of the flare.
    """
    disc = math.pi * (np.asarray(radius_sun, dtype=np.float64) * _SUN_M) ** 2
    covered = photons(teff_k) / photons(flare_k)
    return np.asarray(np.asarray(duration_s) * covered * disc * _SIGMA * flare_k**4 * _ERG)
