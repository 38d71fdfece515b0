"""Light of exploding things: heating from within, diffused outwards, and seen as a black body.

CGS units and days; luminosities in erg/s. One-zone solutions: right in shape and energy, without lines.

References
----------
.. [1] Arnett 1982, ApJ 253, 785 (ads:1982ApJ...253..785A).
.. [2] Katz, Kushnir & Dong 2013 (arXiv:1301.6766): the integral of L t equals that of Q t.
.. [3] Kasen & Bildsten 2010, ApJ 717, 245 (ads:2010ApJ...717..245K): magnetars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SUN_G", "band_flux_njy", "diffused", "magnetar", "radioactive", "temperature_k"]

SUN_G = 1.989e33
_DAY_S = 86_400.0
_NICKEL, _COBALT = 3.9e10, 6.78e9
"""Heating by each gram of 56Ni, as itself and as 56Co, erg/s."""
_NICKEL_D, _COBALT_D = 8.8, 111.3
_PLANCK, _LIGHT, _BOLTZMANN, _STEFAN = 6.626e-27, 2.998e10, 1.3807e-16, 5.6704e-5
_MPC_CM = 3.0857e24
_NJY = 1e-32
"""erg / s / cm^2 / Hz."""

Floats = NDArray[np.float64]


def radioactive(time_d: Floats, nickel_g: float) -> Floats:
    """Return the heating by 56Ni and the 56Co that it becomes, erg/s, all of it trapped."""
    early, late = np.exp(-time_d / _NICKEL_D), np.exp(-time_d / _COBALT_D)
    return np.asarray(nickel_g * ((_NICKEL - _COBALT) * early + _COBALT * late))


def magnetar(time_d: Floats, energy_erg: float, spin_down_d: float) -> Floats:
    """Return the heating by a magnetar that spins down, erg/s."""
    return np.asarray(energy_erg / (spin_down_d * _DAY_S) / (1.0 + time_d / spin_down_d) ** 2)


def diffused(time_d: Floats, heating: Floats, diffusion_d: float) -> Floats:
    """Return what comes out of an expanding ball that is heated inside, erg/s.

    Solves ``dL/dt = (2 t / t_d^2) (Q - L)`` with L = 0 at the first time, exactly for heating that
    is linear in ``t^2`` between the times [1]_.

    Parameters
    ----------
    time_d : ndarray, shape (T,)
        Days since the explosion, ascending from 0.
    heating : ndarray, shape (T,)
    diffusion_d : float
        Effective diffusion time.
    """
    step = np.diff((time_d / diffusion_d) ** 2)
    kept = np.exp(-step)
    # Mean of Q over a step, weighed as it arrives: between both ends.
    late = np.where(step > 1e-8, 1.0 - (1.0 - kept) / np.where(step > 1e-8, step, 1.0), 0.5 * step)
    gained = heating[:-1] * (1.0 - kept - late) + heating[1:] * late
    out = np.zeros(len(time_d))
    for i in range(len(step)):
        out[i + 1] = kept[i] * out[i] + gained[i]
    return out


def temperature_k(time_d: Floats, luminosity: Floats, velocity_km_s: float, floor_k: float) -> Floats:
    """Return the temperature of a photosphere that expands at one speed until it would be cooler than a floor."""
    radius = np.fmax(velocity_km_s * 1e5 * time_d * _DAY_S, 1e10)
    free = (np.fmax(luminosity, 1.0) / (4.0 * np.pi * _STEFAN * radius**2)) ** 0.25
    return np.asarray(np.clip(free, floor_k, 60_000.0))


def band_flux_njy(
    luminosity: Floats, temperature: Floats, observed_nm: Floats, redshift: float, distance_mpc: float
) -> Floats:
    """Return the flux density of a black body at one wavelength each, nJy; all of one shape."""
    nu = _LIGHT / (observed_nm * 1e-7) * (1.0 + redshift)
    x = np.clip(_PLANCK * nu / (_BOLTZMANN * temperature), 1e-6, 500.0)
    # pi B_nu / (sigma T^4): the share of the light that one hertz gets.
    share = 2.0 * np.pi * _PLANCK * nu**3 / _LIGHT**2 / np.expm1(x) / (_STEFAN * temperature**4)
    area = 4.0 * np.pi * (distance_mpc * _MPC_CM) ** 2
    return np.asarray((1.0 + redshift) * luminosity * share / area / _NJY)
