"""The charts of a report: one function each, numbers in, a drawing out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from skyloom.models.card import Bin
from skyloom.models.eligibility import Step
from skyloom.reporting.bins import N_BINS, Axis, Grouping, Numbers, Words
from skyloom.reporting.svg import Drawing, number

__all__ = ["bars", "funnel", "histogram", "lines_by_group", "reliability", "scatter"]

_LEFT, _RIGHT = 44.0, 14.0


def histogram(numbers: Numbers, *, name: str, label: str) -> Markup:
    """Draw how often values occur; what lies beyond the ends is said in words."""
    width, height = 360, 160
    drawing = Drawing(width, height, f"histogram of {name}")
    left, right, bottom, top = _LEFT, width - _RIGHT, height - 36.0, 12.0
    inside = numbers.counts[1:-1]
    most = max(1, int(inside.max()))
    step = (right - left) / N_BINS
    edges = numbers.axis.value(np.arange(N_BINS + 1) / N_BINS)
    for k in np.flatnonzero(inside):
        high = (bottom - top) * inside[k] / most
        said = f"{number(float(edges[k]))} to {number(float(edges[k + 1]))}: {inside[k]:,} rows"
        drawing.box(left + k * step, bottom - high, step * 0.92, high, "bar", title=said)
    drawing.x_axis(numbers.axis, left, right, bottom, label=label)
    drawing.text(left - 6, top + 4, f"{most:,}", anchor="end")
    drawing.text(left - 6, bottom, "0", anchor="end")
    below, above = int(numbers.counts[0]), int(numbers.counts[-1])
    if below:
        drawing.text(left, top - 2, f"← {_rows(below)} below")
    if above:
        drawing.text(right, top - 2, f"{_rows(above)} above →", anchor="end")
    return drawing.markup()


def lines_by_group(numbers: Numbers, grouping: Grouping, *, name: str, label: str) -> Markup:
    """Draw median and central 68 % of each group."""
    groups = [k for k in range(len(grouping.labels)) if numbers.by[grouping.name][k].sum()]
    width, row = 360, 19
    height = 44 + row * len(groups)
    drawing = Drawing(width, height, f"{name} by {grouping.name}: median and central 68 per cent of each group")
    left, right = 118.0, width - 46.0
    for line, group in enumerate(groups):
        y = 12.0 + row * line
        low, middle, high = (numbers.quantile(q, by=grouping.name, group=group) for q in (0.16, 0.5, 0.84))
        ends = left + numbers.axis.place(np.array([low, middle, high])) * (right - left)
        count = int(numbers.by[grouping.name][group].sum())
        said = f"{grouping.labels[group]}: median {number(middle)}, 16 % {number(low)}, 84 % {number(high)}"
        drawing.text(left - 8, y + 4, grouping.labels[group], anchor="end")
        drawing.line(left, y, right, y, "grid")
        drawing.box(float(ends[0]), y - 4, float(max(1.0, ends[2] - ends[0])), 8, "range", title=said)
        drawing.line(float(ends[1]), y - 6, float(ends[1]), y + 6, "median")
        drawing.text(right + 6, y + 4, f"{count:,}")
    drawing.x_axis(numbers.axis, left, right, height - 36.0, label=label)
    return drawing.markup()


def bars(words: Words, *, name: str, most: int = 12) -> Markup:
    """Draw how often the most frequent values occur."""
    shown = words.top(most)
    others = words.others(shown)
    listed = [*shown, *([("all others", others)] if others else [])]
    width, row = 360, 19
    drawing = Drawing(width, 8 + row * max(1, len(listed)), f"values of {name}")
    left, right = 118.0, width - 86.0
    largest = max((count for _, count in listed), default=1)
    for line, (word, count) in enumerate(listed):
        y = 14.0 + row * line
        short = word if len(word) <= 20 else f"{word[:19]}…"
        drawing.text(left - 8, y + 4, short, anchor="end")
        drawing.box(
            left, y - 6, (right - left) * count / max(1, largest), 12, "bar", title=f"{word}: {count:,} rows"
        )
        share = 100.0 * count / max(1, words.rows)
        drawing.text(left + (right - left) * count / max(1, largest) + 6, y + 4, f"{count:,} ({share:.1f} %)")
    if not listed:
        drawing.text(left, 18, "no value in any row")
    return drawing.markup()


def funnel(rows: int, steps: Sequence[Step]) -> Markup:
    """Draw how many rows are left after each criterion."""
    width, row = 720, 22
    drawing = Drawing(width, 10 + row * (len(steps) + 1), "rows left after each criterion of eligibility")
    listed = [("all rows", rows), *((step.criterion, step.left) for step in steps)]
    left, right = 240.0, width - 150.0
    for line, (words, count) in enumerate(listed):
        y = 16.0 + row * line
        short = words if len(words) <= 42 else f"{words[:41]}…"
        drawing.text(left - 8, y + 4, short, anchor="end")
        share = count / max(1, rows)
        drawing.box(left, y - 7, (right - left) * share, 14, "bar", title=f"{words}: {count:,} rows left")
        drawing.text(left + (right - left) * share + 6, y + 4, f"{count:,} ({100 * share:.1f} %)")
    return drawing.markup()


def reliability(bins: Sequence[Bin], *, what: str) -> Markup:
    """Draw what happened over what was said, with binomial errors; on the line is calibrated."""
    side = 260
    drawing = Drawing(side, side, f"reliability of {what}: observed share over mean probability")
    left, right, bottom, top = 44.0, side - 10.0, side - 40.0, 10.0
    axis = Axis(0.0, 1.0)
    drawing.line(left, bottom, right, top, "diagonal")
    drawing.x_axis(axis, left, right, bottom, label="mean probability")
    drawing.y_axis(axis, left, bottom, top, label="observed share")
    for each in bins:
        if not each.n or not (math.isfinite(each.mean_p) and math.isfinite(each.observed)):
            continue
        x, y = left + each.mean_p * (right - left), bottom + each.observed * (top - bottom)
        # One more of each kind: of few rows all or none may have happened, and are no certainty.
        share = (each.observed * each.n + 1) / (each.n + 2)
        error = math.sqrt(share * (1 - share) / (each.n + 2)) * (bottom - top)
        drawing.line(x, max(top, y - error), x, min(bottom, y + error), "error")
        said = f"said {each.mean_p:.3f}, observed {each.observed:.3f}, {each.n:,} rows"
        drawing.dot(x, y, 2.0 + min(4.0, math.log10(each.n + 1)), "dot b0", title=said)
    return drawing.markup()


def scatter(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    error: NDArray[np.float64] | None,
    band: NDArray[np.int64],
    *,
    title: str,
    x_label: str,
    y_label: str,
    upside_down: bool,
    names: Mapping[int, str] = MappingProxyType({}),
) -> Markup:
    """Draw points of several passbands, named by `names`, with their errors; magnitudes have bright at the top."""
    width, height = 360, 190
    drawing = Drawing(width, height, title)
    left, right, bottom, top = 62.0, width - 16.0, height - 38.0, 16.0
    there = np.isfinite(x) & np.isfinite(y)
    x, y, band = x[there], y[there], band[there]
    if not len(x):
        drawing.text(width / 2, height / 2, "no finite point", anchor="middle")
        return drawing.markup()
    across, up = _padded(x, 0.02), _padded(y, 0.06)
    ends = (top, bottom) if upside_down else (bottom, top)
    drawing.x_axis(across, left, right, bottom, label=x_label)
    drawing.y_axis(up, left, *ends, label=y_label)
    px = left + across.place(x) * (right - left)
    py = ends[0] + up.place(y) * (ends[1] - ends[0])
    if error is not None:
        size = np.nan_to_num(error[there], nan=0.0, posinf=0.0, neginf=0.0)
        reach = np.abs(size) / (up.high - up.low) * (bottom - top)
    for code in np.unique(band):
        mine = band == code
        if error is not None:
            low, high = np.clip(py[mine] - reach[mine], top, bottom), np.clip(py[mine] + reach[mine], top, bottom)
            drawing.uprights(px[mine], low, high, f"whisker s{code % 8}")
        drawing.dots(px[mine], py[mine], f"points s{code % 8}")
    for place, code in enumerate(sorted(set(band.tolist()) & set(names), reverse=True)):
        short = names[code].rpartition("_")[2][:4]
        drawing.text(right - 26 * place, 11, short, anchor="end", style=f"t f{code % 8}")
    return drawing.markup()


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _padded(values: NDArray[np.float64], share: float) -> Axis:
    low, high = float(values.min()), float(values.max())
    pad = (high - low) * share or abs(low) * 0.01 or 0.5
    return Axis(low - pad, high + pad)
