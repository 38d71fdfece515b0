"""The first rows of an order are those of a sort, however the rows come."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.reporting.roles import Ranking
from skyloom.reporting.top import Place, TopRows


@given(
    values=st.lists(st.integers(0, 5).map(float) | st.just(float("nan")), max_size=40),
    cut=st.integers(0, 40),
    highest=st.booleans(),
)
@settings(deadline=None)
def test_the_first_rows_are_those_of_a_stable_sort(values, cut, highest):
    top = TopRows(Ranking("c", highest, "t"), 4)
    array = np.array(values)
    top.add(array[:cut], 0, 0)
    top.add(array[cut:], 0, min(cut, len(array)))
    sign = -1 if highest else 1
    wanted = sorted((sign * v, i) for i, v in enumerate(values) if np.isfinite(v))[:4]
    assert top.rows == [(sign * key, Place(0, i)) for key, i in wanted]
