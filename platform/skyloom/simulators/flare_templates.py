"""The shape of a stellar flare in white light: two published templates and the areas under them.

Time is counted in full widths at half maximum (FWHM) from the peak, brightness in amplitudes. The area of a
template times FWHM times amplitude is the flare's *equivalent duration*: how long the quiet star shines to
emit as much.

References
----------
Davenport et al. 2014, ads:2014ApJ...797..122D (`davenport`).
Tovar Mendoza et al. 2022, ads:2022AJ....164...17T (`mendoza`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DAVENPORT_AREA",
    "DAVENPORT_DECAY_AREA",
    "DAVENPORT_RISE_AREA",
    "MENDOZA_AREA",
    "davenport",
    "mendoza",
]

_RISE = (1.0, 1.94053, -0.175084, -2.24588, -1.12498)
"""Polynomial in x, lowest power first, for -1 < x <= 0."""
_DECAY = ((0.689008, 1.60053), (0.302963, 0.278318))
"""Height and rate of the two exponentials of x > 0. They add to 0.991971: a step of 0.8 % at the peak."""

_A, _B, _C = 0.9687734504, -0.2512997059, 0.2267597495
_RATES = (0.1555188078, 1.2150539528)
_SHARES = (0.1269586502, 1.0 - 0.1269586502)

DAVENPORT_RISE_AREA = sum(c * (-((-1.0) ** (k + 1))) / (k + 1) for k, c in enumerate(_RISE))
DAVENPORT_DECAY_AREA = sum(height / rate for height, rate in _DECAY)
DAVENPORT_AREA = DAVENPORT_RISE_AREA + DAVENPORT_DECAY_AREA
"""1.826885: equivalent duration in FWHM times amplitude."""
MENDOZA_AREA = (
    _A
    * _C
    * math.sqrt(math.pi)
    * math.exp(_B**2 / _C**2)
    * sum(share / rate for share, rate in zip(_SHARES, _RATES, strict=True))
)
"""2.04087, likewise, in the template's own width and height, which are not its FWHM and peak."""


def davenport(x: ArrayLike) -> NDArray[np.float64]:
    """Return the template of Davenport et al.

    Parameters
    ----------
    x : array_like, shape (...,)
        Time from the peak in FWHM.

    Returns
    -------
    ndarray of float64, shape (...,)
        0 before -1, at most 1; 1 at 0.
    """
    x = np.asarray(x, dtype=np.float64)
    rise = np.polynomial.polynomial.polyval(np.clip(x, -1.0, 0.0), _RISE)
    late = np.maximum(x, 0.0)
    decay = sum(height * np.exp(-rate * late) for height, rate in _DECAY)
    return np.asarray(np.where(x > 0.0, decay, np.where(x > -1.0, rise, 0.0)))


def mendoza(x: ArrayLike) -> NDArray[np.float64]:
    """Return the template of Tovar Mendoza et al.: a Gaussian convolved with two exponentials.

    Parameters
    ----------
    x : array_like, shape (...,)
        Time from the nominal peak in nominal widths; the true peak is 0.950155, at -0.0026, and the true FWHM
        is 1.08665.

    Returns
    -------
    ndarray of float64, shape (...,)
        Never negative. Written with the scaled complementary error function, so that it is finite for all `x`.
    """
    from scipy.special import erfcx

    x = np.asarray(x, dtype=np.float64)
    total = np.zeros_like(x)
    u = (_B - x) / _C
    for share, rate in zip(_SHARES, _RATES, strict=True):
        z = u + _C * rate / 2.0
        # exp(-D x + (B/C + D C/2)^2) erfc(z), the exponents gathered: they are z^2 - u^2 + B^2/C^2, exactly.
        early = np.exp(np.minimum(_B**2 / _C**2 - u**2, 50.0)) * erfcx(np.maximum(z, 0.0))
        exponent = -rate * x + (_B / _C + _C * rate / 2.0) ** 2
        late = np.exp(np.minimum(exponent, 50.0)) * (2.0 - np.exp(-(z**2)) * erfcx(np.maximum(-z, 0.0)))
        total += share * np.where(z > 0.0, early, late)
    return np.asarray(0.5 * math.sqrt(math.pi) * _A * _C * total)
