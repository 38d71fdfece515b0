"""Numbers that people use to tell FR I from FR II: where along a radio source its light is.

They are what a network is held against. Source of the idea: Fanaroff & Riley 1974
(ads:1974MNRAS.167P..31F), who divide sources by the distance between their brightest regions
relative to their whole extent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError

__all__ = ["MORPHOLOGY", "radio_morphology"]

MORPHOLOGY = (
    "peak_fraction",
    "second_peak",
    "peak_separation",
    "fr_ratio",
    "extent",
    "rms_radius",
    "radius_50",
    "radius_90",
    "central_fraction",
    "elongation",
    "islands",
    "pixels",
)
"""Names of the features, in order; lengths in pixels."""

_CORE_PX = 5.0
_APART_PX = 6.0
"""Peaks closer than this are one: about two beams of FIRST."""


def radio_morphology(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return features of background-free images inside their inscribed circle.

    Parameters
    ----------
    images : ndarray, shape (N, H, H)
        Brightness, zero where there is no source. Only ratios of brightness count.

    Returns
    -------
    ndarray of float64, shape (N, 12)
        In the order of `MORPHOLOGY`; zero for images without light. Turning or mirroring an
        image changes nothing, nor does scaling it.

    Raises
    ------
    SpecError
        If the images are not square.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        msg = f"images have shape (N, H, H), got {images.shape}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    offset = np.arange(images.shape[1]) - (images.shape[1] - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    inside = np.hypot(x, y) <= offset[-1]
    features = np.zeros((len(images), len(MORPHOLOGY)))
    for k, image in enumerate(images):
        light = np.where(inside, image, 0.0).astype(np.float64).clip(min=0.0)
        if light.any():
            features[k] = _of_one(light / light.max(), x, y)
    return features


def _of_one(light: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    """Return the features of one image whose brightest pixel is 1."""
    from scipy.ndimage import label

    total = light.sum()
    centre_x, centre_y = (light * x).sum() / total, (light * y).sum() / total
    radius = np.hypot(x - centre_x, y - centre_y)
    lit = light > 0
    order = np.argsort(radius[lit], kind="stable")
    share = np.cumsum(light[lit][order]) / total
    quantile = [radius[lit][order][min(np.searchsorted(share, q), len(share) - 1)] for q in (0.5, 0.9)]
    extent = 2.0 * radius[lit].max()
    separation, second = _second_peak(light, x, y)
    moments = np.array(
        [
            [((x - centre_x) ** 2 * light).sum(), ((x - centre_x) * (y - centre_y) * light).sum()],
            [((x - centre_x) * (y - centre_y) * light).sum(), ((y - centre_y) ** 2 * light).sum()],
        ]
    )
    short, long = np.sqrt(np.linalg.eigvalsh(moments / total).clip(min=0.0))
    return [
        1.0 / total,
        second,
        separation,
        separation / max(extent, 1.0),
        extent,
        float(np.sqrt((light * radius**2).sum() / total)),
        *quantile,
        light[np.hypot(x, y) <= _CORE_PX].sum() / total,
        1.0 - short / max(long, 1e-12),
        float(label(lit, np.ones((3, 3)))[1]),
        float(lit.sum()),
    ]


def _second_peak(
    light: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[float, float]:
    """Return distance to, and brightness of, the brightest local maximum away from the first; 0, 0 if none."""
    from scipy.ndimage import maximum_filter

    place = np.unravel_index(int(light.argmax()), light.shape)
    distance = np.hypot(x - x[place], y - y[place])
    other = (light > 0) & (light == maximum_filter(light, size=3)) & (distance > _APART_PX)
    if not other.any():
        return 0.0, 0.0
    second = light[other].max()
    return float(distance[other & (light == second)].max()), float(second)
