import json
import types
from pathlib import Path

import pytest

import skyloom.evaluation
import skyloom.training
from skyloom.cli import main
from skyloom.evaluation import contract
from skyloom.models import registry
from skyloom.models.card import Bin, Card, Score

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


def test_describe_shows_what_the_card_of_a_network_says(capsys):
    assert main(["model", "describe", "gamornet"]) == 0
    out = capsys.readouterr().out
    for said in (
        "out of scope",
        "galsim",
        "priors",
        "asinh",
        "gm_p_disk_raw",
        "networks.2",
        "AB magnitude",
        "scores by subgroup",
    ):
        assert said in out


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
