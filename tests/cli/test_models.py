import io
import json
import types
from pathlib import Path

import pytest

import skyloom.evaluation
import skyloom.training
from skyloom.cli import main, progress
from skyloom.evaluation import contract
from skyloom.models import registry
from skyloom.models.card import Bin, Card, Score
from skyloom.runtime.device import DeviceSettings
from skyloom.training.curves import Epoch
from skyloom.training.progress import Tick

JOBS = Path(__file__).parents[2] / "jobs"
CARD = Card(
    name="transient-class", variant="mine", title="", question="", source="", intended_use="", limits="",
    licence="", command="", evaluate="",
    scores=(Score("log-loss", "ours", 0.8125, 0.02, "lower"), Score("log-loss", "baseline: class prior", 2.25)),
    reliability=(Bin("SN Ia", 0.0, 0.1, 200, 0.04, 0.05),),
)  # fmt: skip


def test_list_names_every_model_of_the_registry(capsys):
    assert main(["model", "list", "--json"]) == 0
    assert {row["model"] for row in json.loads(capsys.readouterr().out)} == set(registry.names())


@pytest.mark.parametrize("name", registry.names())
def test_describe_says_what_every_model_is(name, capsys):
    assert main(["model", "describe", name, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["model"] == name
    assert described["about"].startswith(name)
    assert all(flag["means"] for flag in described["flags"])


def test_describe_takes_settings_from_a_job_file(capsys):
    assert main(["model", "describe", "colors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["writes"] == []
    assert main(["model", "describe", "colors", "--job", str(JOBS / "colors-gaia.toml"), "--json"]) == 0
    written = {column["column"]: column["unit"] for column in json.loads(capsys.readouterr().out)["writes"]}
    assert written["color_bp_mag_g_mag"] == "mag"


def test_a_misspelt_model_is_a_wrong_request_with_the_close_one(capsys):
    assert main(["model", "describe", "transient-clas"]) == 2
    assert "'transient-class'" in capsys.readouterr().err


def test_check_passes_for_a_model_that_keeps_the_contract(capsys):
    assert main(["model", "check", "lightcurve-features", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert len(checks) == len(contract.RULES)
    assert all(check["ok"] for check in checks)


def test_check_of_a_model_that_breaks_a_rule_is_exit_code_1(monkeypatch, capsys):
    broken = {**contract.RULES, "keeps a rule that nobody can": lambda scored, rows, declared: False}
    monkeypatch.setattr(contract, "RULES", broken)
    assert main(["model", "check", "lightcurve-features", "--json"]) == 1
    failed = [check["rule"] for check in json.loads(capsys.readouterr().out) if not check["ok"]]
    assert failed == ["lightcurve-features keeps a rule that nobody can"]


def test_check_refuses_a_setting_that_there_is_not_with_the_close_ones(tmp_path, capsys):
    job = tmp_path / "job.toml"
    job.write_text((JOBS / "colors-gaia.toml").read_text().replace("magnitudes =", "magnitude ="))
    assert main(["model", "check", "colors", "--job", str(job)]) == 2
    assert "'magnitudes'" in capsys.readouterr().err


def test_evaluate_prints_scores_beside_the_baselines(monkeypatch, capsys):
    asked = []
    measured = {
        "system": "transient-class", "variant": "mine", "held_out": 1938, "note": "bright objects only",
        "scores": [{"metric": s.metric, "who": s.who, "value": s.value} for s in CARD.scores], "reliability": [],
    }  # fmt: skip
    answer = types.SimpleNamespace(as_dict=lambda: measured)
    monkeypatch.setattr(skyloom.evaluation, "evaluate", lambda *words, device: asked.append(words) or answer)
    assert main(["model", "evaluate", "transient-class", "--weights", "mine", "--data", "d"]) == 0
    assert asked == [("transient-class", "mine", Path("d"))]
    out = capsys.readouterr().out
    assert "1,938 held-out objects" in out
    assert "0.8125" in out
    assert "baseline: class prior" in out
    assert "bright objects only" in out


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
