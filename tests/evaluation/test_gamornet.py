import math

import numpy as np

from skyloom.evaluation.gamornet import REPORTED, purity_table


def test_a_perfect_classifier_has_pure_classes_and_the_true_share_of_indeterminate_ones():
    truth = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    assert purity_table(truth, truth) == (1.0, 0.0, 1.0, 0.0, 0.125)


def test_purities_are_shares_of_what_was_predicted():
    place = np.array([0, 0, 0, 0, 2, 2, 1, 1])
    truth = np.array([0, 0, 2, 1, 2, 0, 0, 2])
    assert purity_table(place, truth) == (0.5, 0.25, 0.5, 0.5, 0.25)


def test_a_class_that_nothing_is_put_in_has_no_purity():
    disks, _, bulges, _, indeterminate = purity_table(np.ones(4, dtype=int), np.array([0, 1, 2, 2]))
    assert math.isnan(disks)
    assert math.isnan(bulges)
    assert indeterminate == 1.0


def test_every_number_of_others_is_called_reported():
    assert all(score.who.startswith("reported") for score in REPORTED)
    assert len(REPORTED) == 20
