"""Training flares: on few simulated stars and in two epochs, but all of its parts."""

from __future__ import annotations

import numpy as np
import pytest

from skyloom.errors import SpecError
from skyloom.evaluation import evaluate
from skyloom.evaluation.flare_sample import labels_of, stars_of, windows
from skyloom.models import flares
from skyloom.models.flares.curves import CHANNELS, HALF, WINDOW
from skyloom.models.weights import read_bundle
from skyloom.training import train
from skyloom.training.flares import Recipe

TINY = Recipe(stars=24, days=6.0, width=4, hidden=4, members=2, epochs=2, quiet=10, bright=10)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("weights")
    train("flares", root / "flares" / "tiny", recipe=TINY, data=root, seed=2)
    return root


@pytest.fixture(scope="module")
def bundle(root):
    return read_bundle(root / "flares" / "tiny")


def test_the_card_says_that_stars_are_simulated_and_how_many_were_held_out(bundle):
    card, weights = bundle
    assert card.training["simulated"] is True
    counts = [card.training[f"n_{part}"] for part in ("train", "calibration", "held_out")]
    assert sum(counts) == TINY.stars
    assert card.domain.simulated
    assert card.writes == tuple(column.name for column in flares.writes(flares.Config()))
    assert 0.0 < weights.arrays["threshold"][0] < 1.0
    assert all("(real)" not in score.who for score in card.scores)


def test_the_card_holds_ours_against_a_finder_of_outliers(bundle):
    who = {score.who for score in bundle[0].scores if score.metric == "recall, clear flares"}
    assert any(name.startswith("ours") for name in who)
    assert any(name.startswith("baseline") for name in who)


def test_the_scores_of_the_card_are_measured_again(root, bundle):
    again = evaluate("flares", "tiny", data=root, root=root)
    assert [(s.metric, s.who, s.value) for s in again.scores] == [
        (s.metric, s.who, pytest.approx(s.value, nan_ok=True)) for s in bundle[0].scores
    ]


def test_a_table_is_no_folder_of_light_curves(root):
    import pyarrow as pa

    with pytest.raises(SpecError, match="folder"):
        evaluate("flares", "tiny", data=pa.table({"a": [1]}), root=root)


@pytest.fixture(scope="module")
def stars():
    return stars_of(range(6), seed=4, days=6.0)


def test_people_miss_what_is_faint_and_the_truth_does_not_count_it(stars):
    for star in stars:
        truth, people = labels_of(star), labels_of(star, people=np.random.default_rng(0))
        assert (star.light[truth == 1] >= 1.0).all()
        assert (star.light[truth == 0] < 0.3).all()
        assert (people == 0).sum() >= (truth == 0).sum() - 100
        assert (truth[star.peaks[star.clear]] == 1).all()


def test_a_window_is_the_hundred_cadences_before_and_from_its_node_on(stars):
    curve = stars[0].curve
    nodes = np.flatnonzero(curve.judged)[[0, 7, -1]]
    shown = windows(curve, nodes)
    assert shown.shape == (3, CHANNELS, WINDOW)
    for window, node in zip(shown, nodes, strict=True):
        assert (window == curve.channels[:, node - HALF : node + HALF]).all()


@pytest.mark.parametrize("settings", [{"stars": 0}, {"members": 0}, {"bright": 0}])
def test_a_recipe_of_nonsense_is_refused(settings):
    with pytest.raises(SpecError):
        Recipe(**settings)
