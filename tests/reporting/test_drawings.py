"""Drawings escape what is written into them, and ticks lie on their axis."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from skyloom.columns import Column
from skyloom.reporting.bins import Axis, Words
from skyloom.reporting.charts import bars
from skyloom.reporting.lightcurves import Bands, draw_light_curve, light_curve_of
from skyloom.reporting.objects import _value
from skyloom.reporting.pictures import MOST_PX, SHADES, coloured_png, grey_png, palette
from skyloom.reporting.svg import Drawing, ticks


def decoded(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-6, 1e9), log=st.booleans())
@settings(deadline=None)
def test_ticks_are_few_and_on_the_axis(low, span, log):
    span = max(span, 1e-6 * abs(low))
    axis = Axis(abs(low) + 1e-3, (abs(low) + 1e-3) * (1 + span), log=True) if log else Axis(low, low + span)
    found = ticks(axis)
    assert len(found) <= 11
    slack = 1e-6 * (axis.high - axis.low)
    assert all(axis.low * (1 - 1e-6) - slack <= tick <= axis.high * (1 + 1e-6) + slack for tick in found if log)
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in found if not log)


def test_words_in_a_drawing_are_text():
    import pyarrow as pa

    words = Words({})
    words.add(pa.array(['<script>alert("1")</script>', "a & b"]), {})
    drawn = str(bars(words, name='"><img src=x onerror=alert(1)>'))
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "&lt;script&gt;" in drawn
    drawing = Drawing(10, 10, "<t>")
    drawing.text(0, 0, "<t>")
    drawing.box(0, 0, 1, 1, "bar", title="<t>")
    drawing.y_axis(Axis(0, 1), 0, 0, 1, label="<t>")
    assert "<t>" not in str(drawing.markup())


def test_a_map_has_the_palettes_colours_and_is_transparent_where_nothing_is():
    image = decoded(coloured_png(np.array([[0.0, 1.0], [np.nan, 0.5]]))).convert("RGBA")
    colours = palette()
    assert image.getpixel((0, 0)) == (*colours[0], 255)
    assert image.getpixel((1, 0)) == (*colours[SHADES - 1], 255)
    assert image.getpixel((0, 1))[3] == 0


@pytest.mark.parametrize("side", [5, 64, 1000])
def test_a_cutout_is_small_and_its_first_row_is_at_the_bottom(side):
    image = np.zeros((side, side))
    image[: side // 4 + 1] = 1.0
    picture = decoded(grey_png(image))
    assert max(picture.size) <= MOST_PX
    assert picture.getpixel((0, picture.size[1] - 1)) == 255
    assert picture.getpixel((0, 0)) == 0


def test_a_cutout_without_data_or_contrast_is_drawn():
    assert decoded(grey_png(np.full((4, 4), np.nan))).getpixel((0, 0)) == (0, 0)
    assert decoded(grey_png(np.full((4, 4), 7.0))).size == (4, 4)


def test_light_curves_are_those_that_the_model_read_or_any_there_are():
    catalog = tuple(
        Column(f"lc.{n}", u) for n, u in (("mjd", "d"), ("mag", "mag"), ("mag_err", "mag"), ("band", ""))
    )
    read = {"lc.mjd": ["", "lc.mjd", "d"], "lc.flux": ["", "lc.mag", "mag"]}
    assert light_curve_of(read, catalog).names == ["lc.mjd", "lc.mag"]
    assert light_curve_of({}, catalog).names == ["lc.mjd", "lc.mag", "lc.mag_err", "lc.band"]
    assert light_curve_of({}, catalog[1:]) is None


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (None, "empty"),
        ({"mjd": [], "mag": []}, "empty"),
        ({"mjd": [1.0, None], "mag": [None, 2.0], "mag_err": [1.0], "band": ["<b>"]}, "2 points"),
        ({"mjd": [1.0] * 2000, "mag": [2.0] * 2000, "mag_err": None, "band": None}, "every 4th"),
    ],
)
def test_a_bad_light_curve_is_drawn_as_far_as_it_goes(points, said):
    columns = light_curve_of({}, tuple(Column(f"lc.{name}") for name in ("mjd", "mag", "mag_err", "band")))
    drawn, words = draw_light_curve(points, columns, Bands(), period_d=0.5)
    assert said in words
    assert len(drawn) == (0 if said == "empty" else 2)
    assert "<b>" not in "".join(map(str, drawn))


def test_a_flare_of_two_cadences_is_drawn_of_a_light_curve_of_thousands():
    columns = light_curve_of({}, tuple(Column(f"lc.{name}") for name in ("mjd", "flux")))
    flux = [1.0] * 5000
    quiet, _ = draw_light_curve({"mjd": list(range(5000)), "flux": flux}, columns, Bands())
    flux[3333:3335] = [9.0, 8.0]
    flaring, words = draw_light_curve({"mjd": list(range(5000)), "flux": flux}, columns, Bands())
    assert "of every 20 the lowest and the highest drawn" in words
    assert quiet != flaring


@pytest.mark.parametrize(
    ("value", "unit", "epoch", "said"),
    [
        ([58400.425893304724, 58401.25], "d", True, "58400.4259, 58401.2500 d"),
        ([0.09112028, None], "", False, "0.09112, null"),
        (list(range(8)), "s", False, "0, 1, 2, 3, 4, 5, … (8 in all) s"),
        ([], "d", True, "none"),
        (58400.425893304724, "d", True, "58400.4259 d"),
    ],
)
def test_a_list_of_numbers_is_told_as_people_write_them(value, unit, epoch, said):
    assert _value(value, unit, is_epoch=epoch) == said


def test_a_passband_is_named_by_what_tells_it_from_the_others():
    columns = light_curve_of({}, tuple(Column(f"lc.{name}") for name in ("mjd", "flux", "band")))
    points = {"mjd": [1.0, 2.0, 3.0], "flux": [1.0, 2.0, 3.0], "band": ["lsst_g", "lsst_r", "tess"]}
    (drawn,), _ = draw_light_curve(points, columns, Bands())
    assert all(f">{name}</text>" in str(drawn) for name in ("g", "r", "tess"))
