import io
from pathlib import Path

import pytest

import skyloom.training
from skyloom.cli import main, progress
from skyloom.jobs.labelled import LabelledCatalog
from skyloom.models.card import Bin, Card, Score
from skyloom.runtime.device import DeviceSettings
from skyloom.training.curves import Epoch
from skyloom.training.progress import Tick

CARD = Card(
    name="transient-class", variant="mine", title="", question="", source="", intended_use="", limits="",
    licence="", command="", evaluate="",
    scores=(Score("log-loss", "ours", 0.8125, 0.02, "lower"), Score("log-loss", "baseline: class prior", 2.25)),
    reliability=(Bin("SN Ia", 0.0, 0.1, 200, 0.04, 0.05),),
)  # fmt: skip


def test_train_passes_on_what_was_said(monkeypatch, capsys, tmp_path):
    asked = {}
    monkeypatch.setattr(
        skyloom.training,
        "train",
        lambda name, output, **how: asked.update(name=name, output=output, **how) or CARD,
    )
    words = ["--output", "weights/mine", "--seed", "7", "--device", "cpu", "--config", "r.toml", "--resume"]
    assert main(["model", "train", "transient-class", *words]) == 0
    watched = asked.pop("progress")
    assert asked == {
        "name": "transient-class",
        "output": Path("weights/mine"),
        "recipe": Path("r.toml"),
        "data": None,
        "seed": 7,
        "device": DeviceSettings("cpu"),
        "resume": True,
    }
    assert "SN Ia" in capsys.readouterr().out
    watched(Tick(stage="drawing galaxies"))
    watched(Tick(1, 2, 10, 50, stage="base"))
    watched(Tick(2, 2, 50, 50, Epoch(2, 0.5, 0.25, 1e-3), stage="base"))
    assert capsys.readouterr().err.splitlines() == [
        "transient-class: drawing galaxies",
        "transient-class: base, at most 2 epochs",
        "transient-class: base, epoch 2 of 2: loss 0.5, validation 0.25",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("round = 3", "'rounds'"),
        ("rounds = 'many'", "rounds: Input should be a valid integer"),
        ("rounds = 0", "at least 1"),
        ("rounds =", "no TOML"),
        (CARD.to_toml().replace("transient-class", "gamornet"), "card of gamornet"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_a_wrong_request(text, words, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    said = ["--config", str(recipe), "--output", str(tmp_path / "out")]
    assert main(["model", "train", "transient-class", *said]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_is_not_there_is_a_wrong_request(tmp_path, capsys):
    said = ["--config", str(tmp_path / "none.toml"), "--output", str(tmp_path / "out")]
    assert main(["model", "train", "transient-class", *said]) == 2
    assert "none.toml" in capsys.readouterr().err


def test_on_a_terminal_every_stage_has_a_bar_of_its_epochs():
    from rich.console import Console
    from rich.progress import Progress

    bars = Progress(console=Console(file=io.StringIO()))
    shown = progress._Bars(bars, "gamornet")
    shown(Tick(stage="drawing galaxies"))
    shown(Tick(2, 4, 25, 50, stage="base"))
    assert bars.tasks[0].finished
    assert (bars.tasks[1].completed, bars.tasks[1].total) == (1.5, 4)
    shown(Tick(2, 4, 50, 50, Epoch(2, 0.5, 0.25, 1e-3), stage="base"))
    assert bars.tasks[1].fields == {"epoch": "epoch 2/4", "loss": "validation loss 0.25"}
    shown(Tick(1, 4, 50, 50, stage="transfer"))
    assert bars.tasks[1].finished


@pytest.fixture
def asked(monkeypatch):
    """What the library was asked for, by `model train`."""
    found = {}
    monkeypatch.setattr(skyloom.training, "train", lambda name, output, **how: found.update(how) or CARD)
    return found


def test_a_labelled_catalog_is_passed_on_with_its_stores(asked, tmp_path):
    words = ["--catalog", "hats/mine", "--label", "kind", "--tensors", "cutout=s3://b/s=1", "spectrum=t"]
    assert main(["model", "train", "transient-class", "--output", str(tmp_path), *words, "--simulated"]) == 0
    stores = {"cutout": "s3://b/s=1", "spectrum": "t"}
    assert asked["data"] == LabelledCatalog("hats/mine", "kind", tensors=stores, simulated=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label", "kind"], "--catalog"),
        (["--catalog", "hats/mine"], "--label COLUMN"),
        (["--catalog", "c", "--label", "l", "--data", "d"], "not both"),
        (["--catalog", "c", "--label", "l", "--tensors", "stores/mine"], "NAME=STORE"),
    ],
)
def test_half_a_labelled_catalog_is_a_wrong_request(asked, words, said, tmp_path, capsys):
    for verb in (["train", "transient-class", "--output", str(tmp_path)], ["evaluate", "transient-class"]):
        assert main(["model", *verb, *words]) == 2
        assert said in capsys.readouterr().err
    assert not asked


def test_a_system_that_does_not_learn_from_catalogs_says_so(tmp_path, capsys):
    words = ["--catalog", "c", "--label", "l"]
    assert main(["model", "train", "transient-class", "--output", str(tmp_path / "out"), *words]) == 2
    assert "does not learn from labelled catalogs" in capsys.readouterr().err
    assert main(["model", "evaluate", "transient-class", *words]) == 2
    assert "not measured on labelled catalogs" in capsys.readouterr().err


def test_an_interrupted_training_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*words, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(skyloom.training, "train", interrupted)
    assert main(["model", "train", "transient-class", "--output", "w/mine"]) == 130
    assert "w/mine.training is kept: the same command with --resume" in capsys.readouterr().err
