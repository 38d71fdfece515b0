import numpy as np
import pytest

from skyloom.features.morphology import MOMENTS, STATMORPH, light_moments, statmorph_values


def image_of(radius, axis_ratio=1.0, index=1.0, seed=0, light=5e3):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 31.5
    return light * np.exp(-((np.hypot(x, y / axis_ratio) / radius) ** (1 / index))) + rng.normal(0, 10, (64, 64))


def measured(image):
    return dict(zip(MOMENTS, light_moments(image), strict=True))


def test_a_larger_galaxy_has_a_larger_half_light_radius():
    radii = [measured(image_of(radius))["half_light_px"] for radius in (1.5, 3.0, 5.0)]
    assert radii == sorted(radii)
    assert radii[0] < radii[-1]


def test_a_steeper_profile_is_more_concentrated():
    disk, steep = measured(image_of(4.0)), measured(image_of(0.3, index=2.5, light=5e4))
    assert steep["concentration"] > disk["concentration"]
    assert steep["m20"] < disk["m20"]


def test_light_spread_evenly_has_a_lower_gini_than_light_in_few_pixels():
    even = np.random.default_rng(4).normal(0, 1, (64, 64))
    even[20:44, 20:44] += 1000.0
    peaked = even.copy()
    peaked[32, 32] += 1e6
    assert measured(even)["gini"] < 0.2
    assert measured(peaked)["gini"] > 0.6


def test_the_axis_ratio_is_found():
    assert measured(image_of(4.0, 0.4))["axis_ratio"] == pytest.approx(0.4, abs=0.06)


def test_turning_and_the_unit_change_nothing():
    image = image_of(4.0, 0.5)
    for other in (np.rot90(image), np.rot90(image, 2), image * 1e3, image[:, ::-1]):
        np.testing.assert_allclose(light_moments(other), light_moments(image), rtol=1e-3, atol=1e-3)


def test_a_lopsided_galaxy_is_more_asymmetric():
    image = image_of(4.0)
    lopsided = image.copy()
    lopsided[34:40, 36:42] += 800
    assert measured(lopsided)["asymmetry"] > measured(image)["asymmetry"] + 0.02


@pytest.mark.parametrize("image", [np.full((64, 64), np.nan), np.zeros((64, 64))])
def test_an_image_without_a_source_has_no_shape(image):
    assert np.isnan(light_moments(image)).all()


def test_noise_alone_has_no_shape():
    assert np.isnan(light_moments(np.random.default_rng(3).normal(0, 10, (64, 64)))).all()


def test_statmorph_finds_the_sersic_index_of_an_exponential_disk():
    pytest.importorskip("statmorph")
    values, quality = statmorph_values(image_of(4.0, 0.7))
    found = dict(zip(STATMORPH, values, strict=True))
    assert quality == 0
    assert found["sersic_n"] == pytest.approx(1.0, abs=0.1)
    assert found["gini"] == pytest.approx(0.5, abs=0.1)


def test_statmorph_says_when_there_is_no_source():
    pytest.importorskip("statmorph")
    values, quality = statmorph_values(np.zeros((64, 64)))
    assert quality == 4
    assert np.isnan(values).all()
