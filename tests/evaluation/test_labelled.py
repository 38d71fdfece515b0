import numpy as np
import pytest

from skyloom.errors import DataError
from skyloom.evaluation.labelled import LabelledRows
from skyloom.evaluation.split import parts_of


def some_rows(ids, label=None, **out):
    ids = np.asarray(ids, dtype=np.uint64)
    label = np.array(["a", "b"])[ids.astype(int) % 2] if label is None else np.array(label)
    return LabelledRows({"x": ids}, {}, label, ids, out, "toy", "sha256:0", "kind", simulated=True)


def test_labels_become_places_among_the_classes():
    assert some_rows([1, 2, 3]).places(("b", "c", "a")).tolist() == [0, 2, 0]


def test_a_label_that_is_no_class_is_refused_with_the_classes():
    with pytest.raises(DataError, match=r"column 'kind' of catalog toy holds 'a'; .* are b, c"):
        some_rows([1, 2, 3]).places(("b", "c"))


def test_parts_are_disjoint_complete_and_those_of_the_hash():
    rows = some_rows(np.arange(1000) * 7)
    found = rows.split(least=50)
    assert sorted(np.concatenate(found).tolist()) == list(range(1000))
    expected = parts_of(rows.ids)
    for part, mask in zip(found, (expected.train, expected.calibration, expected.held_out), strict=True):
        assert sorted(part.tolist()) == np.flatnonzero(mask).tolist()
        assert part.tolist() != sorted(part.tolist())


def test_the_order_of_the_rows_has_no_influence():
    ids = np.arange(500) * 3
    there = some_rows(ids)
    back = some_rows(ids[::-1])
    for one, other in zip(there.split(least=10), back.split(least=10), strict=True):
        assert there.ids[one].tolist() == back.ids[other].tolist()


def test_too_few_rows_are_refused_with_what_was_left_out():
    with pytest.raises(DataError, match=r"each part needs 50; rows left out: FAINT 12"):
        some_rows(np.arange(60), FAINT=12, NO_CUTOUT=0).split(least=50)
