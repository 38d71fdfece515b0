"""Cross-validation by object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.errors import SpecError
from skyloom.evaluation.folds import first_of_each, folds_of


@given(
    counts=st.lists(st.integers(5, 30), min_size=1, max_size=4), seed=st.integers(0, 9), shuffle=st.integers(0, 99)
)
def test_folds_keep_objects_whole_classes_even_and_heed_no_order(counts, seed, shuffle):
    target = np.repeat(np.arange(len(counts)), counts)
    names = [f"object {k}" for k in range(len(target))]
    rows = np.random.default_rng(shuffle).integers(0, len(names), 3 * len(names))
    rows = np.concatenate([np.arange(len(names)), rows])
    fold = folds_of([names[k] for k in rows], target[rows], folds=5, seed=seed)
    whole = fold[: len(names)]
    assert (whole[rows] == fold).all()
    for k in range(len(counts)):
        dealt = np.bincount(whole[target == k], minlength=5)
        assert dealt.max() - dealt.min() <= 1
    dealt = np.bincount(whole, minlength=5)
    assert dealt.max() - dealt.min() <= 1
    back = folds_of([names[k] for k in rows[::-1]], target[rows[::-1]], folds=5, seed=seed)
    assert (back == fold[::-1]).all()


def test_another_seed_gives_other_folds():
    names, target = [f"o{k}" for k in range(40)], np.zeros(40, dtype=int)
    assert (folds_of(names, target, folds=5, seed=1) != folds_of(names, target, folds=5, seed=2)).any()


def test_what_cannot_be_split_by_object_is_refused():
    with pytest.raises(SpecError, match="object a has the classes 0 and 1"):
        folds_of(["a", "b", "a"], np.array([0, 0, 1]), folds=2, seed=0)
    with pytest.raises(SpecError, match="class 1 has 1 objects"):
        folds_of(["a", "b", "c"], np.array([0, 0, 1]), folds=2, seed=0)


def test_the_first_row_of_an_object_is_its_earliest():
    first = first_of_each(["a", "b", "a", "b"], np.array([3.0, 1.0, 2.0, 5.0]))
    assert first.tolist() == [False, True, True, False]
