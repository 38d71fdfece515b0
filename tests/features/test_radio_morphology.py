"""Radio morphology does not depend on how an image is turned, and tells edge- from core-bright."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skyloom.errors import SpecError
from skyloom.features.radio_morphology import MORPHOLOGY, radio_morphology

SIDE = 60


def source(core, lobes, half_px=15.0, tilt=0.3):
    """A core and two lobes of unequal brightness, `half_px` away on either side."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2

    def blob(at, height):
        away = (x - at * np.cos(tilt)) ** 2 + (y - at * np.sin(tilt)) ** 2
        return height * np.exp(-away / 8.0)

    image = blob(0.0, core) + blob(half_px, lobes) + blob(-half_px, 0.9 * lobes)
    return np.where(image > 0.02, image, 0.0)


def of(image):
    return dict(zip(MORPHOLOGY, radio_morphology(image[None])[0], strict=True))


def test_turning_and_mirroring_change_nothing():
    image = source(0.7, 1.0)
    here = radio_morphology(image[None])[0]
    for turns in range(4):
        for seen in (image, image[:, ::-1]):
            assert_allclose(radio_morphology(np.rot90(seen, turns)[None])[0], here, atol=1e-9)


def test_brightness_alone_changes_nothing():
    image = source(0.7, 1.0)
    assert_allclose(radio_morphology(37.0 * image[None]), radio_morphology(image[None]), rtol=1e-12)


def test_an_edge_bright_source_has_the_larger_fanaroff_riley_ratio():
    edge, core = of(source(0.1, 1.0)), of(source(1.0, 0.1))
    assert edge["fr_ratio"] > 0.7
    assert core["fr_ratio"] < 0.5
    assert edge["rms_radius"] > core["rms_radius"]
    assert edge["central_fraction"] < core["central_fraction"]


def test_lengths_are_those_that_were_put_in():
    found = of(source(0.1, 1.0, half_px=15.0))
    assert abs(found["peak_separation"] - 30.0) < 1.5
    assert found["islands"] == 3
    assert found["elongation"] > 0.7


def test_a_single_round_source_has_no_second_peak_and_no_direction():
    found = of(source(1.0, 0.0))
    assert found["second_peak"] == found["peak_separation"] == 0.0
    assert found["elongation"] < 1e-6
    assert found["islands"] == 1


def test_an_empty_image_gives_zeros_and_none_gives_none():
    assert not radio_morphology(np.zeros((1, SIDE, SIDE))).any()
    assert radio_morphology(np.zeros((0, SIDE, SIDE))).shape == (0, len(MORPHOLOGY))


def test_images_that_are_not_square_are_refused():
    with pytest.raises(SpecError, match=r"\(N, H, H\)"):
        radio_morphology(np.zeros((1, 4, 5)))
