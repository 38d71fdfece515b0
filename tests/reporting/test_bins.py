"""Counts by bin agree with the values that were counted, however these are cut into batches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.reporting.bins import MOST_VALUES, N_BINS, Axis, Numbers, Words

floats = st.lists(st.floats(-1e6, 1e6) | st.none() | st.just(float("nan")), max_size=60)


def counted(values, axis, *, cuts=()):
    numbers = Numbers(axis, {"g": 2})
    for part in np.split(np.arange(len(values)), list(cuts)):
        column = pa.array([values[i] for i in part], pa.float64())
        numbers.add(column, {"g": part % 2})
    return numbers


@given(values=floats, cut=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_every_finite_value_is_in_one_bin_and_every_other_is_a_null(values, cut):
    axis = Axis(-100.0, 100.0)
    numbers = counted(values, axis, cuts=[min(cut, len(values))])
    finite = [v for v in values if v is not None and np.isfinite(v)]
    assert (numbers.rows, numbers.n, numbers.nulls) == (len(values), len(finite), len(values) - len(finite))
    assert numbers.counts.sum() == numbers.by["g"].sum() == len(finite)
    assert numbers.counts[0] == sum(v < -100 for v in finite)
    assert numbers.counts[-1] == sum(v > 100 for v in finite)
    assert np.array_equal(numbers.counts, counted(values, axis).counts)


@pytest.mark.parametrize("log", [False, True])
def test_quantiles_are_those_of_the_values_to_a_bins_width(log):
    values = np.random.default_rng(0).lognormal(0, 2, 5000)
    axis = Axis(1e-3, 1e3, log=True) if log else Axis(0.0, 20.0)
    numbers = counted(values.tolist(), axis)
    for q in (0.16, 0.5, 0.84):
        found, true = numbers.quantile(q), np.quantile(values, q)
        place = axis.place(np.array([found, min(true, axis.high)]))
        assert abs(place[0] - place[1]) <= 1.5 / N_BINS
    of_even = numbers.quantile(0.5, by="g", group=0)
    assert of_even == pytest.approx(np.median(values[::2]), rel=0.5)
    assert (numbers.least, numbers.most) == (values.min(), values.max())
    assert numbers.mean == pytest.approx(values.mean())


@given(low=st.floats(1e-6, 1e3), ratio=st.floats(1.5, 1e6), log=st.booleans(), place=st.floats(0, 1))
@settings(deadline=None)
def test_an_axis_undoes_itself(low, ratio, log, place):
    axis = Axis(low, low * ratio, log=log)
    assert axis.place(axis.value(np.array([place])))[0] == pytest.approx(place, abs=1e-6)


def test_bins_are_chosen_so_that_few_far_values_do_not_hide_the_others():
    values = np.append(np.random.default_rng(1).normal(0, 1, 10_000), 1e12)
    axis = Axis.of(values)
    assert -4 < axis.low < axis.high < 4
    assert Axis.of(np.full(5, 3.0)).low < 3.0 < Axis.of(np.full(5, 3.0)).high
    assert Axis.of(np.array([np.nan])) == Axis(0.0, 1.0)
    assert Axis.of(np.geomspace(1e-3, 1e3, 100)).log


def test_words_are_counted_as_a_counter_counts_them():
    rng = np.random.default_rng(2)
    values = [None if rng.random() < 0.1 else str(word) for word in rng.choice(["rrl", "eb", "<b>"], 300)]
    words = Words({"g": 3})
    for start in range(0, 300, 70):
        part = values[start : start + 70]
        words.add(pa.array(part, pa.string()), {"g": np.arange(start, start + len(part)) % 3})
    there = Counter(value for value in values if value is not None)
    assert dict(words.top(9)) == there
    assert words.nulls == values.count(None)
    assert words.by["g"].sum(axis=0)[words.values["<b>"]] == there["<b>"]


def test_a_column_of_unlike_words_takes_no_more_room_than_one_of_few():
    words = Words({})
    words.add(pa.array([f"id-{i}" for i in range(5000)]), {})
    assert len(words.values) == MOST_VALUES
    assert words.counts.sum() == 5000
    assert words.others(words.top(12)) == 5000 - 12
