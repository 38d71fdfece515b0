"""One galaxy: a bulge, a disk and their light; its class is a function of the shares alone.

References
----------
.. [1] Ghosh et al. 2020, ads:2020ApJ...895..112G (the classes; ranges of the parameters are ours).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyloom.simulators.surveys import Survey

__all__ = ["AB_ZERO_NJY", "CLASSES", "Galaxy", "class_of", "draw_galaxy"]

AB_ZERO_NJY = 3.631e12
"""Flux density of AB magnitude zero."""

CLASSES = ("disk", "indeterminate", "bulge")
DISK_BELOW, BULGE_ABOVE = 0.45, 0.55
_N_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Galaxy:
    """What is rendered; angles are degrees east of the +x axis, counter-clockwise."""

    magnitude: float
    bulge_fraction: float
    """Light of the bulge over all light, L_B/L_T."""
    bulge_arcsec: float
    """Half-light radius along the geometric mean of the axes."""
    disk_arcsec: float
    bulge_axis_ratio: float
    disk_axis_ratio: float
    bulge_angle_deg: float
    disk_angle_deg: float
    bulge_sersic: float
    """Sersic index: 4 is de Vaucouleurs."""
    shift_px: tuple[float, float]
    """Of the centre from the cutout's, x and y."""
    arms: float = 0.0
    """Amplitude of the spiral, relative to the disk's light."""
    arm_count: int = 2
    pitch_deg: float = 20.0
    bar: float = 0.0
    """Amplitude of the bar, likewise."""
    structure_angle_deg: float = 0.0
    dust: float = 0.0
    """Light taken by the dust lane at its middle, as a share."""

    @property
    def flux_njy(self) -> float:
        """Total flux density in nanojansky."""
        return float(AB_ZERO_NJY * 10.0 ** (-0.4 * self.magnitude))

    @property
    def bulge_njy(self) -> float:
        """Flux density of the bulge."""
        return self.bulge_fraction * self.flux_njy

    @property
    def disk_njy(self) -> float:
        """Flux density of the disk."""
        return (1.0 - self.bulge_fraction) * self.flux_njy


def class_of(bulge_fraction: ArrayLike) -> NDArray[np.int64]:
    """Return the place in `CLASSES`: disk below 0.45, bulge above 0.55, indeterminate from one to the other [1]_.

    Examples
    --------
    >>> class_of([0.44, 0.45, 0.55, 0.56]).tolist()
    [0, 1, 1, 2]
    """
    share = np.asarray(bulge_fraction, dtype=np.float64)
    return (share >= DISK_BELOW).astype(np.int64) + (share > BULGE_ABOVE)


def draw_galaxy(rng: np.random.Generator, survey: Survey, *, real: bool) -> Galaxy:
    """Draw a galaxy; `real` gives it what the simple ones lack: other bulges, arms, bars and dust.

    Sersic indices are multiples of 0.1, because each new one costs galsim a table.
    """
    bulge = float(np.exp(rng.uniform(*np.log(survey.bulge_arcsec))))
    ratio = float(np.exp(rng.uniform(*np.log(survey.disk_to_bulge))))
    simple = Galaxy(
        magnitude=float(rng.uniform(*survey.magnitude)),
        bulge_fraction=float(rng.uniform()),
        bulge_arcsec=bulge,
        disk_arcsec=bulge * ratio,
        bulge_axis_ratio=float(rng.uniform(0.3, 1.0)),
        disk_axis_ratio=float(rng.uniform(0.15, 1.0)),
        bulge_angle_deg=float(rng.uniform(0.0, 180.0)),
        disk_angle_deg=float(rng.uniform(0.0, 180.0)),
        bulge_sersic=4.0,
        shift_px=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5))),
    )
    if not real:
        return simple
    return replace(
        simple,
        bulge_sersic=round(round(float(rng.uniform(1.5, 6.0)) / _N_STEP) * _N_STEP, 1),
        shift_px=(3.0 * simple.shift_px[0], 3.0 * simple.shift_px[1]),
        arms=float(rng.uniform(0.0, 0.6)),
        arm_count=int(rng.integers(2, 5)),
        pitch_deg=float(rng.uniform(10.0, 35.0)),
        bar=float(rng.uniform(0.1, 0.6)) if rng.random() < 0.4 else 0.0,
        structure_angle_deg=float(rng.uniform(0.0, 360.0)),
        dust=float(rng.uniform(0.2, 0.7)) if rng.random() < 0.4 else 0.0,
    )
