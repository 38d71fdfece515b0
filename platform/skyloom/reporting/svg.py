"""Scalable drawings as text: what charts are made of. Everything written into one is escaped.

Colours are classes of the page's style sheet, so that a drawing is legible on light, dark and paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from skyloom.reporting.bins import Axis

__all__ = ["Drawing", "number", "ticks"]


def number(value: float) -> str:
    """Return a number as people write it: four significant digits, integers in full.

    Examples
    --------
    >>> [number(v) for v in (1234567.0, 0.123456, 1e-9, float("nan"), 12.0)]
    ['1,234,567', '0.1235', '1e-09', '-', '12']
    """
    if not math.isfinite(value):
        return "-"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def ticks(axis: Axis, most: int = 5) -> list[float]:
    """Return round values within an axis: multiples of 1, 2 or 5, or powers of ten where it is logarithmic."""
    if axis.log:
        first, last = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
        return [10.0**k for k in range(first, last + 1, max(1, math.ceil((last - first + 1) / most)))]
    span = axis.high - axis.low
    if not math.isfinite(span) or span <= 0:
        return []
    rough = span / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough * 0.999)
    multiples = range(math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9) + 1)
    return [0.0 if k == 0 else k * step for k in multiples]


@dataclass(slots=True)
class Drawing:
    """An inline SVG that grows shape by shape.

    Parameters
    ----------
    width, height : int
        In its own units: the page scales it.
    title : str
        What it shows, for people who cannot see it.
    """

    width: int
    height: int
    title: str
    _parts: list[Markup] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", style: str = "t") -> None:
        """Write words at a place."""
        made = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>')
        self._parts.append(made.format(x, y, anchor, style, words))

    def box(self, x: float, y: float, width: float, height: float, style: str, *, title: str = "") -> None:
        """Fill a box; its title is shown where a pointer rests on it."""
        said = Markup("<title>{}</title>").format(title) if title else Markup()
        made = Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" class="{}">{}</rect>')
        self._parts.append(made.format(x, y, max(0.0, width), max(0.0, height), style, said))

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str = "axis") -> None:
        """Draw a straight line."""
        made = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')
        self._parts.append(made.format(x1, y1, x2, y2, style))

    def dot(self, x: float, y: float, radius: float, style: str, *, title: str = "") -> None:
        """Draw a dot."""
        said = Markup("<title>{}</title>").format(title) if title else Markup()
        made = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="{}">{}</circle>')
        self._parts.append(made.format(x, y, radius, style, said))

    def dots(self, x: NDArray[np.float64], y: NDArray[np.float64], style: str) -> None:
        """Draw many dots as one path: a line of no length has round ends."""
        if len(x):
            path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))
            self._parts.append(Markup('<path d="{}" class="{}"/>').format(path, style))

    def uprights(
        self, x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], style: str
    ) -> None:
        """Draw many upright lines as one path."""
        if len(x):
            path = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in zip(x, low, high, strict=True))
            self._parts.append(Markup('<path d="{}" class="{}"/>').format(path, style))

    def curve(self, x: Sequence[float], y: Sequence[float], style: str) -> None:
        """Draw a line through points."""
        if len(x):
            path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
            self._parts.append(Markup('<path d="{}" class="{}"/>').format(path, style))

    def ellipse(self, x: float, y: float, rx: float, ry: float, style: str) -> None:
        """Draw an ellipse."""
        made = Markup('<ellipse cx="{:.1f}" cy="{:.1f}" rx="{:.1f}" ry="{:.1f}" class="{}"/>')
        self._parts.append(made.format(x, y, rx, ry, style))

    def picture(self, x: float, y: float, width: float, height: float, png: str, *, smooth: bool = False) -> None:
        """Put a picture, a ``data:`` URL, into a box."""
        style = "smooth" if smooth else "px"
        made = Markup(
            '<image x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" href="{}" '
            'preserveAspectRatio="none" class="{}"/>'
        )
        self._parts.append(made.format(x, y, width, height, png, style))

    def x_axis(self, axis: Axis, left: float, right: float, y: float, *, label: str = "") -> None:
        """Draw a horizontal axis with its ticks."""
        self.line(left, y, right, y)
        for value, place in _placed(axis):
            x = left + place * (right - left)
            self.line(x, y, x, y + 4)
            self.text(x, y + 15, _tick(value, axis), anchor="middle")
        if label:
            self.text((left + right) / 2, y + 30, label, anchor="middle", style="l")

    def y_axis(self, axis: Axis, x: float, bottom: float, top: float, *, label: str = "") -> None:
        """Draw an upright axis with its ticks; `low` of the axis lies at `bottom`."""
        self.line(x, bottom, x, top)
        for value, place in _placed(axis):
            y = bottom + place * (top - bottom)
            self.line(x - 4, y, x, y)
            self.text(x - 6, y + 3.5, _tick(value, axis), anchor="end")
        if label:
            made = Markup('<text transform="translate({:.1f} {:.1f}) rotate(-90)" text-anchor="middle" class="l">')
            self._parts.append(made.format(11, (bottom + top) / 2) + label + Markup("</text>"))

    def markup(self) -> Markup:
        """Return the drawing as it stands in a page."""
        made = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" style="max-width:{}px">{}</svg>')
        return made.format(self.width, self.height, self.title, self.width, Markup("").join(self._parts))


def _placed(axis: Axis) -> Iterable[tuple[float, float]]:
    values = ticks(axis)
    return zip(values, axis.place(np.array(values, np.float64)).tolist(), strict=True)


def _tick(value: float, axis: Axis) -> str:
    if axis.log:
        power = round(math.log10(value))
        return f"{10.0**power:g}" if -3 <= power <= 4 else f"1e{power}"
    step = (axis.high - axis.low) / 5
    if abs(value) >= 1e5 or (value and abs(value) < 1e-4):
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-")
    digits = max(0, min(6, -math.floor(math.log10(step)))) if step > 0 else 0
    return f"{value:.{digits}f}"
