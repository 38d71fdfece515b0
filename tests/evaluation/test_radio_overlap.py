"""A source that trained a network is not among those that test it, under whatever name or in whatever frame."""

from __future__ import annotations

import numpy as np
import pytest

from skyloom.evaluation.radio import read_radio, scorable_radio
from skyloom.evaluation.radio_overlap import same_images, sky_names, survey_parts
from two_lobes import two_lobes, write_published


def test_a_source_has_one_name_in_both_surveys():
    here = np.array(["37", "37a", "37_CoNFIG_FR1", "42_FRICAT_FR1", "42"])
    assert sky_names(here).tolist() == ["37", "37", "37", "42_FRICAT_FR1", "42"]


def test_an_image_is_found_again_wherever_it_is_centred_and_however_bright():
    images = two_lobes(8)[0][:, None].astype(np.float32)
    shifted = np.roll(images[:4], (5, -9), axis=(2, 3)) * np.float32(0.1)
    assert same_images(np.concatenate([shifted, images[4:]]), images[:4]).tolist() == [True] * 4 + [False] * 4
    assert not same_images(images, images[:0]).any()
    assert not same_images(np.zeros_like(images), images).any()


def test_no_source_trains_in_one_survey_and_tests_in_the_other(tmp_path):
    folder = write_published(tmp_path)
    first, nvss = (scorable_radio(read_radio(f"frdeep-{name}", folder)) for name in ("first", "nvss"))
    back = np.arange(len(nvss.target))[::-1]
    nvss = type(nvss)(nvss.images[back], nvss.target[back], nvss.objects[back], nvss.batch[back])
    of_first, of_nvss = survey_parts(first, nvss)
    for part in ("train", "calibration", "held_out"):
        names = [
            set(sky_names(data.objects[getattr(parts, part)]))
            for data, parts in ((first, of_first), (nvss, of_nvss))
        ]
        assert names[0] == names[1]
        assert names[0]


@pytest.mark.survey_data
def test_frdeep_shares_56_sources_with_mirabest_and_every_label_agrees(skyloom_data):
    mirabest, first = (scorable_radio(read_radio(name, skyloom_data)) for name in ("mirabest", "frdeep-first"))
    assert len(mirabest.target) == 698  # six of the 704 published images are empty
    for label in (0, 1):
        of = mirabest.images[mirabest.target == label]
        shared = same_images(first.images, of)
        assert (first.target[shared] == label).all()
    assert same_images(first.images, mirabest.images).sum() == 56


@pytest.mark.survey_data
def test_the_published_surveys_are_split_without_a_shared_source(skyloom_data):
    first, nvss = (scorable_radio(read_radio(f"frdeep-{name}", skyloom_data)) for name in ("first", "nvss"))
    of_first, of_nvss = survey_parts(first, nvss)
    for learnt, kept in (
        (first.objects[of_first.train], nvss.objects[~of_nvss.train]),
        (nvss.objects[of_nvss.train], first.objects[~of_first.train]),
    ):
        assert not set(sky_names(learnt)) & set(sky_names(kept))
