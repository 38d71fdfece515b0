"""Maps of the sky: the whole of it in Mollweide's projection, a part in Lambert's azimuthal one.

Both keep areas. East is left, as the sky is seen from below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from skyloom.reporting.bins import Axis
from skyloom.reporting.footprint import Cap, CellSums, cells_of
from skyloom.reporting.pictures import coloured_png
from skyloom.reporting.svg import Drawing, number, ticks

__all__ = ["Shade", "draw_map"]

_WIDTH, _TOP, _BAR, _SIDE = 480, 8, 46, 30


@dataclass(frozen=True, slots=True)
class Shade:
    """What a map shows of each cell."""

    title: str
    values: NDArray[np.float64]
    """One for each cell of the sums; NaN is left out."""
    label: str
    log: bool = False
    fixed: tuple[float, float] | None = None
    """Ends of the scale, where they are not taken from the values."""


def draw_map(sums: CellSums, cap: Cap, shade: Shade) -> Markup:
    """Draw one map with its scale."""
    width, height = (
        (_WIDTH - 2 * _SIDE, _WIDTH // 2 - _SIDE) if cap.is_wide else (_WIDTH * 3 // 4, _WIDTH * 3 // 4)
    )
    ra, dec = _whole_sky(width) if cap.is_wide else _local(width, cap)
    axis = _axis(shade)
    picture = np.full(ra.shape, np.nan)
    seen = np.isfinite(ra)
    cells = cells_of(ra[seen], dec[seen], sums.order)
    at = np.clip(np.searchsorted(sums.cells, cells), 0, max(0, len(sums.cells) - 1))
    hit = sums.cells[at] == cells
    picture[seen] = np.where(hit, np.clip(axis.place(shade.values)[at], 0, 1), np.nan)
    left = (_WIDTH - width) / 2
    drawing = Drawing(_WIDTH, height + _TOP + _BAR + 14, shade.title)
    drawing.ellipse(_WIDTH / 2, _TOP + height / 2, width / 2, height / 2, "sky")
    drawing.picture(left, _TOP, width, height, coloured_png(picture))
    (_whole_grid if cap.is_wide else _local_grid)(drawing, cap, width, left)
    _scale(drawing, axis, shade.label, height + _TOP + 12)
    return drawing.markup()


def _axis(shade: Shade) -> Axis:
    if shade.fixed is not None:
        return Axis(*shade.fixed)
    values = shade.values[np.isfinite(shade.values)]
    if not len(values):
        return Axis(0.0, 1.0)
    low, high = (float(q) for q in np.quantile(values, (0.01, 0.99)))
    if shade.log and low > 0 and high > 10 * low:
        return Axis(low, high, log=True)
    return Axis(low, high) if high > low else Axis(low - 0.5, low + 0.5)


def _whole_sky(width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions of the pixels of a Mollweide map, NaN off it, shape (W / 2, W)."""
    x = (np.arange(width) + 0.5) / width * 4.0 - 2.0
    y = 1.0 - (np.arange(width // 2) + 0.5) / (width // 2) * 2.0
    with np.errstate(invalid="ignore", divide="ignore"):
        theta = np.arcsin(y)[:, None]
        dec = np.degrees(np.arcsin((2 * theta + np.sin(2 * theta)) / np.pi))
        lon = -90.0 * x[None, :] / np.cos(theta)
    inside = np.abs(lon) <= 180.0
    return np.where(inside, lon % 360.0, np.nan), np.where(inside, np.broadcast_to(dec, lon.shape), np.nan)


def mollweide(ra_deg: float, dec_deg: float) -> tuple[float, float]:
    """Return the place of a position: x from -2 (east) to 2, y from -1 (south) to 1.

    Examples
    --------
    >>> [tuple(round(c, 3) for c in mollweide(*p)) for p in ((0, 0), (90, 0), (0, 90))]
    [(-0.0, 0.0), (-1.0, 0.0), (-0.0, 1.0)]
    """
    lon, lat = (ra_deg + 180.0) % 360.0 - 180.0, math.radians(dec_deg)
    theta = lat
    for _ in range(50):
        slope = 2.0 + 2.0 * math.cos(2.0 * theta)
        if slope < 1e-12:
            break
        theta -= (2.0 * theta + math.sin(2.0 * theta) - math.pi * math.sin(lat)) / slope
    return -lon / 90.0 * math.cos(theta), math.sin(theta)


def _local(width: int, cap: Cap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions of the pixels of a map around the middle of a cap, NaN off it, shape (W, W)."""
    side = (np.arange(width) + 0.5) / width * 2.0 - 1.0
    reach = 2.0 * math.sin(math.radians(_shown(cap)) / 2.0)
    x, y = np.meshgrid(-side * reach, -side * reach)
    rho = np.hypot(x, y)
    angle = 2.0 * np.arcsin(np.clip(rho / 2.0, 0, 1))
    ra0, dec0 = math.radians(cap.ra_deg), math.radians(cap.dec_deg)
    share = np.divide(np.sin(angle), rho, out=np.ones_like(rho), where=rho > 0)
    sine = np.cos(angle) * math.sin(dec0) + y * share * math.cos(dec0)
    dec = np.degrees(np.arcsin(np.clip(sine, -1, 1)))
    ra = ra0 + np.arctan2(x * share, np.cos(angle) * math.cos(dec0) - y * share * math.sin(dec0))
    inside = rho <= reach
    return np.where(inside, np.degrees(ra) % 360.0, np.nan), np.where(inside, dec, np.nan)


def _shown(cap: Cap) -> float:
    """Return the radius of a map, degrees: a little more than that of the cap."""
    return max(cap.radius_deg * 1.2, 0.005)


def _lambert(ra_deg: float, dec_deg: float, cap: Cap) -> tuple[float, float] | None:
    """Return the place on a local map, -1 to 1 with east left; None off it."""
    ra, dec = math.radians(ra_deg - cap.ra_deg), math.radians(dec_deg)
    dec0 = math.radians(cap.dec_deg)
    cosine = math.sin(dec0) * math.sin(dec) + math.cos(dec0) * math.cos(dec) * math.cos(ra)
    if cosine <= -0.999:
        return None
    k = math.sqrt(2.0 / (1.0 + cosine)) / (2.0 * math.sin(math.radians(_shown(cap)) / 2.0))
    x = -k * math.cos(dec) * math.sin(ra)
    y = k * (math.cos(dec0) * math.sin(dec) - math.sin(dec0) * math.cos(dec) * math.cos(ra))
    return (x, y) if math.hypot(x, y) <= 1.0 else None


def _whole_grid(drawing: Drawing, cap: Cap, width: int, left: float) -> None:
    del cap

    def place(ra: float, dec: float) -> tuple[float, float]:
        x, y = mollweide(ra, dec)
        return left + (x + 2.0) / 4.0 * width, _TOP + (1.0 - y) / 2.0 * width / 2

    for dec in (-60, -30, 0, 30, 60):
        ends = place(179.999, dec), place(180.001, dec)
        drawing.line(ends[0][0], ends[0][1], ends[1][0], ends[1][1], "grid")
        if dec:
            drawing.text(ends[0][0] - 3, ends[0][1] - 2, f"{dec:+d}°", anchor="end", style="halo")
    for ra in (60, 120, 179.999, 180.001, 240, 300, 0):
        points = [place(ra, dec) for dec in range(-90, 91, 5)]
        drawing.curve([x for x, _ in points], [y for _, y in points], "grid")
    for ra in (0, 60, 120, 240, 300):
        x, y = place(ra, 0)
        drawing.text(x + 2, y - 2, f"{ra}°", style="halo")


def _local_grid(drawing: Drawing, cap: Cap, width: int, left: float) -> None:
    radius = _shown(cap)
    step = _step(radius)
    half = width / 2

    def trace(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        placed = (_lambert(ra, dec, cap) for ra, dec in points)
        return [(left + half + x * half, _TOP + half - y * half) for x, y in filter(None, placed)]

    low, high = max(-90.0, cap.dec_deg - radius), min(90.0, cap.dec_deg + radius)
    pole = high >= 89.9 or low <= -89.9 or abs(cap.dec_deg) + radius >= 89.0
    spread = 180.0 if pole else min(180.0, radius / max(0.05, math.cos(math.radians(max(abs(low), abs(high))))))
    for dec in np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step:
        ras = cap.ra_deg + np.linspace(-spread, spread, 181 if pole else 61)
        line = trace([(float(ra), float(dec)) for ra in ras])
        drawing.curve([x for x, _ in line], [y for _, y in line], "grid")
        if line:
            drawing.text(line[0][0], line[0][1] - 2, f"{dec:+.{_digits(step)}f}°", anchor="end", style="halo")
    across = _step(spread)
    for ra in np.arange(math.ceil((cap.ra_deg - spread) / across), (cap.ra_deg + spread) / across) * across:
        line = trace([(float(ra), float(dec)) for dec in np.linspace(low, high, 41)])
        drawing.curve([x for x, _ in line], [y for _, y in line], "grid")
        if line:
            drawing.text(line[0][0] + 2, line[0][1] - 3, f"{ra % 360:.{_digits(across)}f}°", style="halo")


def _step(radius: float) -> float:
    values = ticks(Axis(0.0, 2.0 * radius), 4)
    return values[1] - values[0] if len(values) > 1 else radius


def _digits(step: float) -> int:
    return max(0, math.ceil(-math.log10(step) - 1e-9))


def _scale(drawing: Drawing, axis: Axis, label: str, y: float) -> None:
    left, right = 90.0, _WIDTH - 90.0
    drawing.picture(left, y, right - left, 9, coloured_png(np.linspace(0, 1, 256)[None, :]), smooth=True)
    drawing.x_axis(axis, left, right, y + 11, label=label)
    if not ticks(axis):
        drawing.text(left, y + 25, number(axis.low))
