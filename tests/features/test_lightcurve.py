"""Features agree with their formulas and with the library called by hand."""

from __future__ import annotations

import light_curve
import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.features import lightcurve
from skyloom.timeseries.lightcurves import BandLightCurves


def band_curves(lengths: list[list[int]], seed: int = 0, scale: float = 1.0) -> BandLightCurves:
    rng = np.random.default_rng(seed)
    count = np.array(lengths)
    total = int(count.sum())
    mjd = np.concatenate([np.empty(0), *(np.sort(rng.uniform(60_000, 60_100, n)) for n in count.ravel())])
    return BandLightCurves(
        offsets=np.concatenate(([0], np.cumsum(count.ravel()))).astype(np.int64),
        mjd=mjd,
        flux=rng.normal(100.0, 20.0, total) * scale,
        flux_err=rng.uniform(1.0, 5.0, total) * scale,
        bands=tuple("gr")[: len(lengths)],
        rows=count.shape[1],
    )


def test_each_number_is_that_of_the_library_called_by_hand():
    curves = band_curves([[30, 12], [8, 40]])
    found = lightcurve.compute(curves)
    for extractor in lightcurve.EXTRACTORS:
        one = getattr(light_curve, extractor.cls)(*extractor.args)
        for segment in range(4):
            at = slice(curves.offsets[segment], curves.offsets[segment + 1])
            expected = one(curves.mjd[at], curves.flux[at], curves.flux_err[at])
            values = [found[f.name].ravel()[segment] for f in extractor.returns]
            assert_allclose(values, expected, rtol=1e-6)


def test_simple_ones_are_what_they_say():
    curves = band_curves([[25]])
    found = {name: value[0, 0] for name, value in lightcurve.compute(curves).items()}
    assert found["n_obs"] == 25
    assert_allclose(found["time_span"], np.ptp(curves.mjd), rtol=1e-6)
    assert_allclose(found["amplitude"], np.ptp(curves.flux) / 2, rtol=1e-6)
    assert_allclose(found["std"], curves.flux.std(ddof=1), rtol=1e-6)
    assert_allclose(found["weighted_mean"], np.average(curves.flux, weights=curves.flux_err**-2.0), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 36.3, 1e6])
def test_a_change_of_unit_scales_fluxes_and_leaves_ratios(scale):
    one, other = (lightcurve.compute(band_curves([[30, 20]], scale=s)) for s in (1.0, scale))
    for feature in lightcurve.features_of():
        factor = scale if "{lc.flux}" in feature.unit else 1.0
        assert_allclose(other[feature.name], one[feature.name] * factor, rtol=2e-4, err_msg=feature.name)


def test_too_few_points_give_nan_and_never_raise():
    found = lightcurve.compute(band_curves([[0, 1, 2, 3, lightcurve.MIN_POINTS]]))
    assert found["n_obs"].tolist() == [[0, 1, 2, 3, 4]]
    for name, value in found.items():
        assert np.isfinite(value[0, -1]), name
        assert name in {"n_obs"} or np.isnan(value[0, 0]), name


def test_there_are_about_twenty_extractors_with_different_names():
    names = [f.name for f in lightcurve.features_of()]
    assert len(lightcurve.EXTRACTORS) >= 20
    assert len(set(names)) == len(names)


def test_no_rows_give_no_numbers():
    found = lightcurve.compute(band_curves([[], []]))
    assert all(value.shape == (2, 0) for value in found.values())
