"""Prefetching changes when things are made, and nothing else."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.errors import DataError, ErrorKind, SpecError
from skyloom.runtime.prefetch import prefetched


@given(items=st.lists(st.integers()), ahead=st.integers(0, 3))
def test_results_come_in_order_and_none_is_lost(items, ahead):
    with prefetched(lambda n: n + 1, items, ahead=ahead) as found:
        assert list(found) == [n + 1 for n in items]


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_no_more_is_made_than_may_wait(ahead):
    made = []
    with prefetched(lambda n: made.append(n) or n, range(100), ahead=ahead) as found:
        for taken in found:
            time.sleep(0.001)
            assert len(made) - (taken + 1) <= ahead
            if taken == 20:
                break
    assert len(made) <= 21 + ahead


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_an_error_is_raised_where_its_result_would_have_come(ahead):
    def make(n):
        if n == 2:
            raise DataError("broken", kind=ErrorKind.BAD_FILE)
        return n

    found = []
    with pytest.raises(DataError, match="broken"), prefetched(make, range(5), ahead=ahead) as results:
        found.extend(results)
    assert found == [0, 1]


def test_an_error_of_the_items_themselves_is_raised_too():
    def items():
        yield 1
        raise MemoryError

    with pytest.raises(MemoryError), prefetched(lambda n: n, items()) as results:
        list(results)


@pytest.mark.parametrize("leave", ["break", "raise", "unread"])
def test_no_thread_outlives_the_block(leave):
    with_thread = []
    try:
        with prefetched(
            lambda n: with_thread.append(threading.current_thread()) or n, range(1000), ahead=2
        ) as found:
            if leave != "unread":
                next(found)
            if leave == "raise":
                raise KeyError
    except KeyError:
        pass
    assert not any(thread.name == "skyloom-prefetch" for thread in threading.enumerate())
    assert len(with_thread) < 10


def test_the_next_is_made_while_this_one_is_worked_on():
    started = threading.Event()

    def make(n):
        if n == 1:
            started.set()
        return n

    with prefetched(make, range(3), ahead=1) as found:
        next(found)
        assert started.wait(5)


def test_a_negative_count_is_refused():
    with pytest.raises(SpecError, match="0 or more"), prefetched(str, [], ahead=-1):
        pass
