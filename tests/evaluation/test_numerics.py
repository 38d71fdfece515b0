"""What other numerics do to the columns of a real network, and when that is too much. bfloat16 runs on the CPU."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import SpecError
from skyloom.evaluation import numerics
from skyloom.evaluation.numerics import DEFAULT_TOLERANCE, Difference, check_tolerated, measure, tolerances
from skyloom.models import gamornet
from skyloom.models.weights import load_weights
from skyloom.runtime.device import DeviceSettings

PROBABILITIES = ("gm_p_disk", "gm_p_indet", "gm_p_bulge")


@pytest.fixture(scope="module")
def weights():
    return load_weights("gamornet")[1]


def of_gamornet(weights, **settings):
    return measure(gamornet, gamornet.Config(), weights, DeviceSettings(device="cpu", threads=1, **settings))


def test_plain_float32_differs_from_itself_by_nothing(weights):
    found = of_gamornet(weights, channels_last=False)
    assert set(found.values()) == {0.0}
    assert set(found) == {column.name for column in gamornet.writes(gamornet.Config())} | {"flag"}


def test_bfloat16_changes_probabilities_by_a_percent_or_so_and_always_by_the_same(weights):
    found = of_gamornet(weights, precision="bfloat16")
    assert all(1e-4 < found[name] < 0.1 for name in PROBABILITIES)
    assert found == of_gamornet(weights, precision="bfloat16")


def test_the_other_memory_order_changes_last_bits_and_no_class(weights):
    found = of_gamornet(weights, channels_last=True)
    assert all(0 < found[name] < DEFAULT_TOLERANCE for name in PROBABILITIES)
    assert found["gm_class"] == found["gm_set"] == found["flag"] == 0.0


def test_what_is_beyond_the_tolerance_is_named_with_its_figure_and_what_is_within_is_not():
    settings = DeviceSettings(device="cpu", precision="float16")
    within, beyond = Difference("a", 0.01, 0.01), Difference("b", 0.0201, 0.02)
    check_tolerated("toy", settings, [within])
    with pytest.raises(
        SpecError, match=r"precision = float16 would change 1 of 2 .* b by 0.0201 \(tolerated: 0.02\)"
    ):
        check_tolerated("toy", settings, [within, beyond])


def test_a_column_that_the_card_does_not_name_may_lose_roundings_a_text_nothing():
    kinds = {"p": pa.float32(), "q": pa.float32(), "class": pa.string(), "n": pa.int32()}
    assert tolerances(kinds, {"q": 0.5}) == {"p": DEFAULT_TOLERANCE, "q": 0.5, "class": 0.0, "n": 0.0}


def test_a_null_more_or_less_is_never_tolerated():
    one, two = pa.array([1.0, None]), pa.array([1.0, 2.0])
    assert numerics.difference(one, two) == np.inf
    assert numerics.difference(one, pa.array([1.25, None])) == 0.25
    assert numerics.difference(pa.array(["a", "b", None]), pa.array(["a", "c", None])) == 0.5


def test_a_model_that_scores_none_of_the_rows_cannot_be_judged(weights, monkeypatch):
    from skyloom.evaluation.examples import example_rows

    monkeypatch.setattr(numerics, "example_rows", lambda *a, **k: example_rows(*a, **k).slice(0, 1))
    with pytest.raises(SpecError, match="scores none of"):
        of_gamornet(weights, precision="bfloat16")
