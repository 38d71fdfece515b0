"""Colours are differences, and their errors add in quadrature."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import SpecError
from skyloom.models import colors
from skyloom.runtime.scoring import score

CONFIG = colors.Config(magnitudes=("b", "v", "r"), snrs=("bs", "vs", "rs"))


def run(**columns):
    n = len(next(iter(columns.values())))
    filled = {name: [10.0] * n for name in ("b", "v", "r")} | {name: [20.0] * n for name in ("bs", "vs", "rs")}
    rows = pa.RecordBatch.from_pydict({k: pa.array(v, pa.float64()) for k, v in (filled | columns).items()})
    scored, faults = score(colors, colors.build(CONFIG), CONFIG, rows, layer="colors", batch_rows=100)
    assert not faults
    return scored.to_pydict()


def test_a_colour_is_the_bluer_magnitude_minus_the_redder():
    assert run(b=[12.0], v=[11.5])["color_b_v"] == [0.5]


def test_colours_of_a_chain_add_up():
    rng = np.random.default_rng(0)
    mags = {name: rng.normal(15, 1, 50) for name in "bvr"}
    out = run(**mags)
    total = np.add(out["color_b_v"], out["color_v_r"])
    np.testing.assert_allclose(total, mags["b"] - mags["r"], atol=1e-12)


def test_errors_add_in_quadrature():
    out = run(bs=[10.0], vs=[10.0])
    assert out["color_b_v_err"][0] == pytest.approx(np.sqrt(2) * 2.5 / np.log(10) / 10)


def test_an_error_is_the_scatter_of_noisy_fluxes():
    rng = np.random.default_rng(1)
    mags = -2.5 * np.log10(rng.normal(1.0, 1 / 50, (2, 20_000)))
    assert np.std(mags[0] - mags[1]) == pytest.approx(run(bs=[50.0], vs=[50.0])["color_b_v_err"][0], rel=0.03)


@pytest.mark.parametrize("bad", [None, np.nan, np.inf])
def test_a_missing_magnitude_takes_only_its_own_colours(bad):
    out = run(b=[bad])
    assert (out["color_b_v"], out["color_v_r"]) == ([None], [0.0])
    assert out["colors_flag"] == [2]


def test_a_row_without_any_colour_is_null_and_flagged():
    out = run(v=[None])
    assert out["color_b_v"] == out["color_v_r"] == [None]
    assert out["colors_flag"] == [1 | 2]


@pytest.mark.parametrize("bad", [0.0, -1.0, None, np.nan])
def test_a_bad_signal_to_noise_takes_only_the_errors(bad):
    out = run(bs=[bad])
    assert (out["color_b_v"], out["color_b_v_err"]) == ([0.0], [None])
    assert out["colors_flag"] == [4]


@pytest.mark.parametrize(
    "settings",
    [{}, {"magnitudes": ["a"]}, {"magnitudes": ["a", "a"]}, {"magnitudes": ["a", "b"], "snrs": ["s"]}],
)
def test_nonsense_settings_are_refused(settings):
    with pytest.raises(SpecError):
        colors.Config(**settings)
