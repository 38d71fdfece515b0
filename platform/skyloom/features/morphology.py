"""Shapes of galaxies without learning: light moments of our own, or statmorph's measurements.

References
----------
.. [1] Conselice 2003, ads:2003ApJS..147....1C (concentration, asymmetry).
.. [2] Lotz, Primack & Madau 2004, ads:2004AJ....128..163L (Gini, M20).
.. [3] Rodriguez-Gomez et al. 2019, ads:2019MNRAS.483.4140R (statmorph).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, NotFoundError

__all__ = ["MOMENTS", "STATMORPH", "light_moments", "light_moments_of", "statmorph_values"]

MOMENTS = (
    "half_light_px",
    "concentration",
    "asymmetry",
    "gini",
    "m20",
    "axis_ratio",
    "surface_ratio",
    "log_snr",
)
"""What `light_moments` gives, in order."""

STATMORPH = ("concentration", "asymmetry", "smoothness", "gini", "m20", "sersic_n", "sersic_rhalf")
"""What `statmorph_values` gives, in order, by statmorph's own names."""

_FRAME = 4
_GAUSSIAN = 1.4826
_THRESHOLD_SIGMAS = 1.5
_LEAST_PX = 12


def light_moments(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """Measure one galaxy in the middle of an image: concentration [1]_, asymmetry, Gini, M20 [2]_ and sizes.

    Over the px that belong to the source: above 1.5 sigma, joined to the middle, after smoothing.
    Curves of growth are about the middle of the image, so a shift by a few px adds noise.

    Parameters
    ----------
    image : ndarray, shape (size, size)
        Any unit; NaN where there are no data.

    Returns
    -------
    ndarray of float32, shape (len(MOMENTS),)
        NaN in all where no source of at least 12 px is in the middle.
    """
    clean, sigma, source = _source(np.asarray(image, dtype=np.float64))
    if source is None:
        return np.full(len(MOMENTS), np.nan, dtype=np.float32)
    size = clean.shape[0]
    y, x = np.nonzero(source)
    light = clean[source]
    total = light.sum()
    if total <= 0:
        return np.full(len(MOMENTS), np.nan, dtype=np.float32)
    xc, yc = (x * light).sum() / total, (y * light).sum() / total
    distance = np.hypot(x - xc, y - yc)
    order = np.argsort(distance, kind="stable")
    grown = np.cumsum(light[order]) / total
    r20, r50, r80 = (
        float(distance[order][min(int(np.searchsorted(grown, share)), len(order) - 1)])
        for share in (0.2, 0.5, 0.8)
    )
    xx, yy = (light * (x - xc) ** 2).sum(), (light * (y - yc) ** 2).sum()
    xy = (light * (x - xc) * (y - yc)).sum()
    minor, major = np.linalg.eigvalsh([[xx, xy], [xy, yy]])
    turned = clean[::-1, ::-1]
    both = source & source[::-1, ::-1]
    uneven = np.abs(clean - turned)[both].sum() / max(2.0 * np.abs(clean[both]).sum(), 1e-300)
    inner = light[distance <= max(r50 / 2.0, 1.0)]
    outer = light[(distance > r50) & (distance <= max(r80, r50 + 1.0))]
    ratio = inner.mean() / max(outer.mean(), sigma) if len(inner) and len(outer) else np.nan
    values = (
        r50,
        5.0 * np.log10(max(r80, 0.5) / max(r20, 0.5)),
        uneven,
        _gini(light),
        _m20(light, distance),
        np.sqrt(max(minor, 0.0) / max(major, 1e-300)),
        np.log10(max(ratio, 1e-3)),
        np.log10(total / (sigma * np.sqrt(size))),
    )
    return np.array(values, dtype=np.float32)


def light_moments_of(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Measure N galaxies, images of shape (N, size, size), with `light_moments`: (N, len(MOMENTS))."""
    found = np.empty((len(images), len(MOMENTS)), dtype=np.float32)
    for row, image in enumerate(images):
        found[row] = light_moments(image)
    return found


def statmorph_values(image: NDArray[np.floating]) -> tuple[NDArray[np.float32], int]:
    """Measure one galaxy with statmorph [3]_: about a hundred times slower than `light_moments`.

    Parameters
    ----------
    image : ndarray, shape (size, size)
        Any unit; NaN where there are no data.

    Returns
    -------
    values : ndarray of float32, shape (len(STATMORPH),)
        NaN where statmorph failed; -99, its own mark of failure, becomes NaN.
    flag : int
        statmorph's quality: 0 good, 1 suspect, 2 bad, 4 catastrophic (or no source).

    Raises
    ------
    NotFoundError
        If statmorph is not installed.
    """
    try:
        import statmorph
    except ImportError as error:
        msg = "statmorph is not installed: pip install 'skyloom[morphology]', or leave `statmorph` out"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, package="statmorph") from error
    nothing = np.full(len(STATMORPH), np.nan, dtype=np.float32)
    clean, sigma, source = _source(np.asarray(image, dtype=np.float64))
    if source is None:
        return nothing, 4
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # its own flag says the same
        try:
            found: Any = statmorph.SourceMorphology(
                clean,
                source.astype(np.int64),
                1,
                mask=~np.isfinite(image),
                weightmap=np.full(clean.shape, sigma),
            )
        except (ValueError, AssertionError, IndexError, ZeroDivisionError, FloatingPointError):
            return nothing, 4
    values = np.array([float(getattr(found, name)) for name in STATMORPH], dtype=np.float32)
    values[values == np.float32(-99.0)] = np.nan
    return values, max(int(found.flag), 1 if found.flag_sersic else 0)


def _source(
    image: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float, NDArray[np.bool_] | None]:
    """Return the image less its background, its noise, and which px are the source in the middle."""
    from scipy.ndimage import label, uniform_filter

    finite = np.isfinite(image)
    frame = np.ones(image.shape, dtype=bool)
    frame[_FRAME:-_FRAME, _FRAME:-_FRAME] = False
    border = image[frame & finite]
    level = float(np.median(border)) if len(border) else 0.0
    sigma = _GAUSSIAN * float(np.median(np.abs(border - level))) if len(border) else 0.0
    clean = np.where(finite, image - level, 0.0)
    if sigma <= 0.0:
        return clean, sigma, None
    found, _ = label(uniform_filter(clean, 3) > _THRESHOLD_SIGMAS * sigma)
    half = image.shape[0] // 2
    inside = found[half - 2 : half + 3, half - 2 : half + 3]
    names = inside[inside > 0]
    if not len(names):
        return clean, sigma, None
    source = found == np.bincount(names).argmax()
    return clean, sigma, source if source.sum() >= _LEAST_PX else None


def _gini(light: NDArray[np.float64]) -> float:
    """Return the Gini coefficient of the absolute light: 0 all px alike, 1 all light in one."""
    ordered = np.sort(np.abs(light))
    n = len(ordered)
    weight = 2.0 * np.arange(1, n + 1) - n - 1
    return float((weight * ordered).sum() / (ordered.mean() * n * (n - 1)))


def _m20(light: NDArray[np.float64], distance: NDArray[np.float64]) -> float:
    """Return the logarithm of the second moment of the brightest fifth of the light over that of all."""
    moment = light * distance**2
    order = np.argsort(-light, kind="stable")
    brightest = np.cumsum(light[order]) <= 0.2 * light.sum()
    brightest[0] = True
    inner, whole = moment[order][brightest].sum(), moment.sum()
    return float(np.log10(max(inner, 1e-12 * abs(whole)) / max(whole, 1e-300)))
