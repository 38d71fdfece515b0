"""Bad points go, bad rows are marked, nothing crashes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.timeseries.cleaning import by_band, clean
from skyloom.timeseries.lightcurves import LightCurveFlag as F
from skyloom.timeseries.lightcurves import LightCurves

BANDS = ("g", "r")
NAN, INF = float("nan"), float("inf")


def curves(*rows: list[tuple[float, float, float, str]]) -> LightCurves:
    kind = pa.struct(
        [(n, pa.list_(pa.float64())) for n in ("mjd", "flux", "flux_err")] + [("band", pa.list_(pa.string()))]
    )
    names = ("mjd", "flux", "flux_err", "band")
    data = [
        dict(zip(names, (list(c) for c in zip(*row, strict=True)), strict=True)) if row else None for row in rows
    ]
    return LightCurves.from_arrow(pa.array(data, type=kind), BANDS)


GOOD = [(1.0, 10.0, 1.0, "g"), (2.0, 11.0, 1.0, "r"), (3.0, 12.0, 1.0, "g")]


@pytest.mark.parametrize(
    "row, flag, left",
    [
        (GOOD, 0, 3),
        ([], F.LC_EMPTY, 0),
        (GOOD[::-1], F.LC_UNSORTED, 3),
        ([*GOOD, GOOD[-1]], F.LC_DUPTIME, 4),
        ([(1.0, 10.0, 1.0, "g"), (1.0, 9.0, 1.0, "r")], 0, 2),  # two passbands at once are fine
        ([*GOOD, (4.0, 1.0, NAN, "g")], F.LC_BADERR, 3),
        ([*GOOD, (4.0, 1.0, INF, "g")], F.LC_BADERR, 3),
        ([*GOOD, (4.0, 1.0, -1.0, "g")], F.LC_BADERR, 3),
        ([*GOOD, (4.0, 1.0, 0.0, "g")], F.LC_BADERR, 3),
        ([*GOOD, (4.0, NAN, 1.0, "g")], F.LC_NONFINITE, 3),
        ([*GOOD, (INF, 1.0, 1.0, "g")], F.LC_NONFINITE, 3),
        ([(NAN, 1.0, 1.0, "g"), *GOOD], F.LC_NONFINITE, 3),
        ([*GOOD, (4.0, 1.0, 1.0, "K")], F.LC_UNKNOWN_BAND, 3),
        ([(4.0, 1.0, -1.0, "g")], F.LC_BADERR | F.LC_EMPTY, 0),
        ([(4.0, NAN, NAN, "K")], F.LC_BADERR | F.LC_NONFINITE | F.LC_UNKNOWN_BAND | F.LC_EMPTY, 0),
    ],
)
def test_each_fault_has_its_flag_and_spares_the_other_rows(row, flag, left):
    both = curves(row, GOOD)
    for out, found in (clean(both), by_band(both)):
        assert found.tolist() == [flag, 0]
        assert len(out.mjd) == left + 3


def test_nothing_wrong_means_nothing_copied():
    whole = curves(GOOD, GOOD)
    assert clean(whole)[0] is whole


point = st.tuples(
    st.sampled_from([1.0, 2.0, 3.0, 4.0, NAN]),
    st.sampled_from([-1.0, 5.0, 7.0, INF]),
    st.sampled_from([0.0, 1.0, 2.0, NAN]),
    st.sampled_from(["g", "r", "K"]),
)
rows = st.lists(st.lists(point, max_size=6), min_size=1, max_size=5)


def slow(row):
    """Per passband, the good points in order of time: what the whole-array code must give."""
    good = [p for p in row if np.isfinite(p[0]) and np.isfinite(p[1]) and 0 < p[2] < INF and p[3] in BANDS]
    good.sort(key=lambda p: p[0])
    return {band: [p[:3] for p in good if p[3] == band] for band in BANDS}


@settings(max_examples=150, deadline=None)
@given(rows)
def test_by_band_agrees_with_a_loop_over_rows(data):
    out, flag = by_band(curves(*data))
    for b, band in enumerate(BANDS):
        for i, row in enumerate(data):
            lo, hi = out.offsets[b * len(data) + i], out.offsets[b * len(data) + i + 1]
            found = list(zip(out.mjd[lo:hi], out.flux[lo:hi], out.flux_err[lo:hi], strict=True))
            assert found == slow(row)[band]
    empty = [not any(slow(row).values()) for row in data]
    assert ((flag & F.LC_EMPTY) > 0).tolist() == empty


@settings(max_examples=80, deadline=None)
@given(rows)
def test_clean_and_by_band_agree(data):
    cleaned, flag = clean(curves(*data))
    apart, flags = by_band(curves(*data))
    again, _ = by_band(cleaned)
    assert flag.tolist() == flags.tolist()
    assert again.mjd.tolist() == apart.mjd.tolist()
    assert clean(cleaned)[0].mjd.tolist() == cleaned.mjd.tolist()


def test_taking_rows_leaves_out_only_empty_ones():
    out, _ = by_band(curves([], GOOD, []))
    kept = out.take(np.array([False, True, False]))
    assert len(kept) == 1
    assert kept.counts.tolist() == [[2], [1]]
