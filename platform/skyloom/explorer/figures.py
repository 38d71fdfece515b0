"""Figures of one object: light curve, cutouts, spectrum. Texts of columns are plain text, always."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, PlainText, Range1d, Title
from bokeh.plotting import figure
from numpy.typing import NDArray

from skyloom.explorer.objects import LightCurve, Stamp
from skyloom.tensors import Spectra

__all__ = ["COLOURS", "cutout_figures", "light_curve_figure", "plain", "spectrum_figure"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")
"""Tol's bright scheme: told apart by those who see colours otherwise, too."""
BANDS = {"u": 5, "g": 2, "r": 1, "i": 3, "z": 0, "y": 7}
BANDS_SHOWN = 8
CUTOUTS_SHOWN = 6
STRETCH = (0.02, 0.995)
SOFTENING = 0.1


def plain(text: str) -> PlainText:
    """Return text that Bokeh draws as it is: without this, ``$$`` starts a formula."""
    return PlainText(text=text)


def light_curve_figure(curve: LightCurve, *, width: int = 660, height: int = 240) -> Any:
    """Draw a light curve with error bars, each passband in a colour."""
    plot = figure(width=width, height=height, tools="pan,wheel_zoom,box_zoom,reset", toolbar_location="right")
    plot.toolbar.logo = None
    plot.title = Title(text=plain(f"{curve.name}: {len(curve.mjd)} points"), text_font_size="12px")
    plot.xaxis.axis_label = plain(_label(curve.time.child, curve.time.unit))
    plot.yaxis.axis_label = plain(_label(curve.brightness.child, curve.brightness.unit))
    if curve.is_magnitude:
        plot.y_range.flipped = True
    labels = np.array(curve.band)
    for i, label in enumerate(sorted(set(curve.band), key=_blue_first)):
        own = labels == label
        value, error = curve.value[own], curve.error[own]
        colour = COLOURS[BANDS.get(label[-1:], i) % len(COLOURS)]
        source = ColumnDataSource(
            {"mjd": curve.mjd[own], "value": value, "low": value - error, "high": value + error}
        )
        legend = {"legend_label": label} if label and i < BANDS_SHOWN else {}
        plot.scatter("mjd", "value", source=source, size=5, color=colour, **legend)
        # Segments, not whiskers: the axis makes room for them.
        plot.segment("mjd", "low", "mjd", "high", source=source, color=colour)
    if plot.legend:
        plot.legend.title = None
        plot.legend.label_text_font_size = "10px"
        plot.legend.padding, plot.legend.spacing, plot.legend.margin = 3, 0, 2
        plot.add_layout(plot.legend[0], "right")
    return plot


def cutout_figures(stamp: Stamp, *, width: int = 150) -> list[Any]:
    """Draw each channel of a cutout, north as the store has it, with an asinh stretch of its own."""
    layout = stamp.store.layout
    plots = []
    for channel in range(min(layout.channels, CUTOUTS_SHOWN)):
        name = layout.bands[channel] if layout.bands else f"channel {channel}"
        plot = figure(width=width, height=width + 20, toolbar_location=None, tools="", match_aspect=True)
        plot.title = Title(text=plain(name), text_font_size="11px")
        plot.axis.visible = plot.grid.visible = False
        plot.min_border = 2
        pixels = stretched(stamp.values[channel])
        tall, wide = pixels.shape
        plot.x_range, plot.y_range = Range1d(0, wide), Range1d(0, tall)
        plot.image(image=[pixels], x=0, y=0, dw=wide, dh=tall, palette="Greys256")
        plots.append(plot)
    return plots


def spectrum_figure(stamp: Stamp, *, width: int = 660, height: int = 220) -> Any:
    """Draw a spectrum's flux over wavelength."""
    store = stamp.store
    layout = store.layout
    plot = figure(width=width, height=height, tools="pan,wheel_zoom,box_zoom,reset")
    plot.toolbar.logo = None
    wavelength = store.wavelength if isinstance(store, Spectra) else np.arange(layout.shape[-1])
    plot.xaxis.axis_label = plain("wavelength (Angstrom)" if layout.grid is not None else "pixel")
    plot.yaxis.axis_label = plain(_label(layout.bands[0] if layout.bands else "flux", layout.unit))
    plot.line(wavelength, stamp.values[0].astype(np.float64), line_color=COLOURS[0])
    return plot


def stretched(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pixels from 0 to 1 by an asinh between the 2nd and the 99.5th percentile; NaN stays."""
    finite = pixels[np.isfinite(pixels)]
    if not len(finite):
        return np.full(pixels.shape, np.nan, np.float32)
    low, high = np.quantile(finite, STRETCH)
    scaled = np.clip((pixels - low) / max(high - low, 1e-30), 0, 1)
    return np.asarray(np.arcsinh(scaled / SOFTENING) / np.arcsinh(1 / SOFTENING), np.float32)


def _label(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _blue_first(label: str) -> tuple[int, str]:
    return ("ugrizy".find(label[-1:]) if label else 0, label)
