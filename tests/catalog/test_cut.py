"""Choosing the pixels of a catalog."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.catalog.cut import choose_pixels

ORDER = 5
counts = st.dictionaries(st.integers(0, 12 * 4**ORDER - 1), st.integers(1, 50), min_size=1, max_size=60)


def holding(pixel, found):
    order, npix = pixel
    return [c for c, n in found.items() if c >> (2 * (ORDER - order)) == npix]


@settings(max_examples=60, deadline=None)
@given(found=counts, threshold=st.integers(1, 200), lowest=st.integers(0, 3))
def test_pixels_are_disjoint_cover_every_row_and_respect_the_threshold(found, threshold, lowest):
    pixels = choose_pixels(found, order=ORDER, threshold=threshold, lowest_order=lowest)
    inside = [cell for pixel in pixels for cell in holding(pixel, found)]
    assert sorted(inside) == sorted(found)
    for pixel in pixels:
        cells = holding(pixel, found)
        assert cells
        assert lowest <= pixel[0] <= ORDER
        assert sum(found[c] for c in cells) <= threshold or len(cells) == 1


def test_pixels_come_in_the_order_of_hats():
    from hats.pixel_math import HealpixPixel
    from hats.pixel_math.healpix_pixel_function import sort_pixels

    rng = np.random.default_rng(0)
    found = {int(c): 5 for c in rng.choice(12 * 4**ORDER, 300, replace=False)}
    pixels = choose_pixels(found, order=ORDER, threshold=20)
    ordered = [(p.order, p.pixel) for p in sort_pixels([HealpixPixel(*p) for p in pixels])]
    assert pixels == ordered


def test_rows_at_one_position_make_one_large_partition_and_no_deep_one():
    assert choose_pixels({0: 1_000_000}, order=8, threshold=10) == [(0, 0)]
