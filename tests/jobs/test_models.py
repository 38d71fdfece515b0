"""A model is found by name or by the path of its weights, and known by all that computes its values."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.jobs.models import code_digest, load_model
from skyloom.models import gamornet
from skyloom.models.architecture import architecture_of
from skyloom.models.weights import SHIPPED, rewrite_card


@pytest.fixture
def copied(tmp_path):
    """The shipped weights of gamornet, elsewhere."""
    folder = tmp_path / "mine"
    shutil.copytree(SHIPPED / "gamornet" / "small-simulated", folder)
    return folder


def test_weights_at_a_path_are_the_same_model_as_those_of_their_name(copied, monkeypatch):
    named, at_path = load_model("gamornet", "small-simulated"), load_model("gamornet", str(copied))
    assert at_path.made_of == named.made_of
    assert at_path.variant == named.variant == "small-simulated"
    assert at_path.place == str(copied)
    monkeypatch.chdir(copied.parent)
    relative = load_model("gamornet", "./mine")
    assert Path(relative.place).is_absolute()  # a worker may be elsewhere
    assert load_model("gamornet", relative.place).made_of == named.made_of


def test_weights_of_another_architecture_are_refused_when_the_model_is_built(copied):
    model = load_model("gamornet", str(copied))
    other = {**model.card.architecture, "networks.1": "sha256:0"}
    rewrite_card(copied, dataclasses.replace(model.card, architecture=other))
    with pytest.raises(DataError, match=r"networks\.1 differ") as caught:
        load_model("gamornet", str(copied)).build()
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS
    assert set(architecture_of(model.build())) == set(other)


def test_weights_that_are_not_there_are_answered_with_the_way_to_name_ones_own():
    with pytest.raises(NotFoundError, match="path of their folder"):
        load_model("gamornet", "mine")


def test_the_code_of_a_model_includes_what_models_share_and_no_other_system(monkeypatch):
    seen, plain = set(), Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: seen.add(f"{self.parent.name}/{self.name}") or plain(self)
    )
    code_digest(gamornet)
    shared = ("probabilities", "conformal", "novelty", "conditions", "eligibility")
    assert {f"models/{name}.py" for name in shared} <= seen
    assert {"gamornet/network.py", "runtime/eligible.py", "nn/lrn.py"} <= seen
    assert not {"models/colors.py", "models/transient_class.py", "models/card.py", "models/registry.py"} & seen


def test_a_system_without_weights_has_no_place_and_no_card():
    model = load_model("lightcurve-features")
    assert (model.variant, model.place, model.card, model.eligibility) == (None, None, None, ())
