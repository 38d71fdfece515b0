"""What the labelling view ranks, and by what."""

import numpy as np
import pytest

from skyloom.active import LabelStore
from skyloom.errors import SpecError
from skyloom.explorer import ranking as ranking_module
from skyloom.explorer.points import Points
from skyloom.explorer.ranking import candidates, features_of, rank
from skyloom.jobs import open_catalog


def test_features_are_the_floats_of_the_layers_unless_others_are_named(points, view):
    names = features_of(points, "")
    assert names
    assert set(names) <= {column.name for column in view.layers[0].columns}
    assert features_of(points, "mwebv, hostgal_photoz") == ("mwebv", "hostgal_photoz")
    with pytest.raises(SpecError, match="--features"):
        features_of(points, "name")


def test_a_ranking_is_of_what_is_selected_and_follows_the_labels(points, tmp_path):
    store = LabelStore.open(tmp_path)
    chosen = np.arange(len(points)) < 100
    found = candidates(points, features_of(points, ""), chosen)
    assert (found.of, found.points.tolist()) == (100, list(range(100)))
    before = rank(found, store, loop="anomaly")
    assert (np.diff(before.scores) <= 0).all()
    best, last = int(before.points[0]), int(before.points[-1])
    for point, label in ((best, "normal"), (last, "anomaly")):
        store.add(points.ids[point].as_py(), label, "ann")
    after = rank(found, store, loop="anomaly")
    assert sorted(after.points.tolist()) == sorted(before.points.tolist())
    assert np.flatnonzero(after.points == last)[0] < np.flatnonzero(before.points == last)[0]
    assert after.points[0] != best
    named = {int(after.points[place]) for place in after.unlabelled(points, 100)}
    assert named == set(range(100)) - {best, last}
    assert len(after.history) == 2


def test_of_many_objects_an_even_sample_is_ranked(points, monkeypatch):
    monkeypatch.setattr(ranking_module, "RANKED_ROWS", 50)
    found = candidates(points, ["mwebv"], None)
    assert (found.of, len(found.points)) == (240, 48)
    assert set(np.diff(found.points)) == {5}


def test_nothing_selected_or_nothing_to_rank_by_is_refused(points):
    with pytest.raises(SpecError, match="nothing is selected"):
        candidates(points, ["mwebv"], np.zeros(len(points), bool))
    with pytest.raises(SpecError, match="no column of numbers to rank by"):
        candidates(points, [], None)


def test_objects_are_ranked_and_labelled_by_texts_as_by_numbers(named_sky, tmp_path):
    points = Points.of(open_catalog(named_sky.catalog).with_layers("features", store=named_sky.layers))
    store = LabelStore.open(tmp_path)
    found = candidates(points, features_of(points, ""), None)
    assert len(set(found.ids.tolist())) == len(points)
    best, last = (int(p) for p in rank(found, store, loop="anomaly").points[[0, -1]])
    for point, label in ((best, "normal"), (last, "anomaly")):
        store.add(points.ids[point].as_py(), label, "ann")
    after = rank(found, store, loop="anomaly")
    assert {int(after.points[place]) for place in after.unlabelled(points, 100)} == set(range(60)) - {best, last}
    assert after.decisions == {points.ids[best].as_py(): "normal", points.ids[last].as_py(): "anomaly"}
    assert points.find(points.ids[last].as_py()) == last
