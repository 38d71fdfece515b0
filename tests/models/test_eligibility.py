"""Criteria leave rows out, say which and why, and their order says nothing."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.errors import SpecError
from skyloom.models import registry
from skyloom.models.eligibility import MOST, Eligibility, added, funnel
from skyloom.runtime.contract import PLATFORM_FLAGS, Flag

TEXTS = ("mag < 20", "n >= 10", "kind == 'galaxy'")
ROWS = {
    "mag": pa.array([19.0, 21.0, None, 19.0, 19.5, float("nan")]),
    "n": pa.array([10, 50, 50, 3, None, 2]),
    "kind": pa.array(["galaxy", "galaxy", "galaxy", "star", "galaxy", None]),
}

values = st.one_of(st.none(), st.integers(0, 3))
tables = st.lists(st.tuples(values, values, values), max_size=40)
THREE = ("a < 2", "b > 0", "c != 1")


def columns(rows):
    return {name: pa.array([row[k] for row in rows], pa.int64()) for k, name in enumerate("abc")}


def test_a_row_is_eligible_if_every_criterion_holds():
    judged = Eligibility.of(TEXTS).judge(ROWS, 6)
    assert (judged.skipped == 0).tolist() == [True, False, False, False, False, False]


def test_the_flag_says_which_criteria_a_row_misses():
    eligibility = Eligibility.of(TEXTS)
    bit = {flag.description.split(": ")[1].split(" does")[0]: flag.mask for flag in eligibility.flags(())}
    judged = eligibility.judge(ROWS, 6)
    mag, n, kind = (bit[text] for text in TEXTS)
    assert judged.skipped.tolist() == [0, mag, mag, n | kind, n, mag | n | kind]


@pytest.mark.parametrize("order", list(permutations(TEXTS)))
def test_the_order_of_the_criteria_changes_no_bit_and_no_count(order):
    one, other = Eligibility.of(TEXTS), Eligibility.of(order)
    assert one == other
    a, b = one.judge(ROWS, 6), other.judge(ROWS, 6)
    assert a.skipped.tolist() == b.skipped.tolist()
    assert a.counts == b.counts


@given(tables, st.permutations(THREE))
def test_a_funnel_sums_to_all_rows_and_ends_with_the_eligible_ones_in_any_order(rows, order):
    eligibility = Eligibility.of(THREE)
    judged = eligibility.judge(columns(rows), len(rows))
    steps = funnel(eligibility.texts, judged.counts, order)
    assert [step.criterion for step in steps] == list(order)
    assert all(step.holds + step.fails + step.not_known == len(rows) for step in steps)
    left = [len(rows), *(step.left for step in steps)]
    assert left == sorted(left, reverse=True)
    assert left[-1] == int((judged.skipped == 0).sum())
    assert steps[0].left == steps[0].holds


@given(tables, st.permutations(THREE))
def test_a_funnel_is_that_of_counting_rows_by_hand(rows, order):
    def said(text, row):
        place = "abc".index(text[0])
        value = row[place]
        return None if value is None else (value < 2, value > 0, value != 1)[place]

    eligibility = Eligibility.of(THREE)
    judged = eligibility.judge(columns(rows), len(rows))
    remaining = rows
    for step in funnel(eligibility.texts, judged.counts, order):
        outcomes = [said(step.criterion, row) for row in rows]
        found = (step.holds, step.fails, step.not_known)
        assert found == (outcomes.count(True), outcomes.count(False), outcomes.count(None))
        remaining = [row for row in remaining if said(step.criterion, row)]
        assert step.left == len(remaining)


@given(tables, st.integers(0, 40), st.integers(0, 40))
def test_counts_of_partitions_add_up_to_those_of_all_rows(rows, first, second):
    eligibility = Eligibility.of(THREE)
    cuts = [0, *sorted((min(first, len(rows)), min(second, len(rows)))), len(rows)]
    parts = [rows[a:b] for a, b in pairwise(cuts)]
    judged = [eligibility.judge(columns(part), len(part)) for part in parts]
    whole = eligibility.judge(columns(rows), len(rows))
    assert added(part.counts for part in judged) == dict(sorted(whole.counts.items()))
    assert np.concatenate([part.skipped for part in judged]).tolist() == whole.skipped.tolist()


def test_a_criterion_said_twice_counts_once():
    assert Eligibility.of(["mag<20", "mag < 20"]).texts == ("mag < 20",)
    assert not Eligibility.of([])


def test_more_criteria_than_bits_are_refused():
    Eligibility.of([f"a < {k}" for k in range(MOST)])
    with pytest.raises(SpecError, match="join some by `and`"):
        Eligibility.of([f"a < {k}" for k in range(MOST + 1)])
    own = [Flag(bit, f"OWN_{bit}", "a reason") for bit in range(22)]
    assert len(Eligibility.of(["a < 1", "b < 1"]).flags(own)) == 2
    with pytest.raises(SpecError, match="for 2 criteria, not 3"):
        Eligibility.of(THREE).flags(own)


@pytest.mark.parametrize("name", registry.names())
def test_every_system_leaves_bits_for_the_most_criteria(name):
    flags = Eligibility.of([f"a < {k}" for k in range(MOST)]).flags(registry.system(name).FLAGS)
    assert not {flag.bit for flag in flags} & {flag.bit for flag in PLATFORM_FLAGS}
    assert all(flag.nulls for flag in flags)
