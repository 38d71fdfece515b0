"""A job file says what it means, or is refused with the way out."""

from __future__ import annotations

import tomllib

import pytest

from skyloom.errors import ErrorKind, NotFoundError, SpecError
from skyloom.jobs.spec import load_job, parse_job, template

MINIMAL = {"job": "j", "model": "lightcurve-features", "layer": "l", "input": {"catalog": "c"}}


def with_(**changes):
    return {**MINIMAL, **changes}


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (with_(modle="x"), ErrorKind.UNKNOWN_KEY, "'modle': did you mean 'model'"),
        (with_(input={"catalog": "c", "colums": {}}), ErrorKind.UNKNOWN_KEY, "did you mean 'columns'"),
        (with_(run={"batch_row": 3}), ErrorKind.UNKNOWN_KEY, "did you mean 'batch_rows'"),
        (with_(run={"batch_rows": 0}), ErrorKind.BAD_JOB_FILE, "run.batch_rows = 0"),
        (with_(run={"max_bad_fraction": 2}), ErrorKind.BAD_JOB_FILE, "run.max_bad_fraction = 2"),
        (with_(on_bad_row="drop"), ErrorKind.BAD_JOB_FILE, "on_bad_row = 'drop'"),
        (with_(input={}), ErrorKind.BAD_JOB_FILE, "'input.catalog' is missing"),
        (with_(layer="../evil"), ErrorKind.BAD_NAME, "layer name '../evil'"),
        (with_(layer="/abs"), ErrorKind.BAD_NAME, "layer name"),
        (with_(layer="-rf"), ErrorKind.BAD_NAME, "layer name"),
        (with_(layer="a\nb"), ErrorKind.BAD_NAME, "layer name"),
        (with_(layer="x" * 300), ErrorKind.BAD_NAME, "layer name"),
        (with_(job="a/b"), ErrorKind.BAD_NAME, "job name"),
    ],
)
def test_a_wrong_job_file_is_refused_with_the_way_out(values, kind, said):
    with pytest.raises(SpecError) as caught:
        parse_job(values, where="job.toml")
    assert caught.value.kind == kind
    assert said in caught.value.message


def test_every_mistake_is_listed_at_once():
    with pytest.raises(SpecError) as caught:
        parse_job(with_(modle="x", run={"batch_rows": 0}), where="job.toml")
    assert "modle" in caught.value.message
    assert "batch_rows" in caught.value.message


def test_a_missing_file_offers_the_close_ones(tmp_path):
    (tmp_path / "flares.toml").touch()
    with pytest.raises(NotFoundError, match=r"did you mean 'flares.toml'"):
        load_job(tmp_path / "flare.toml")


def test_a_file_that_is_no_toml_is_said(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text("job = ")
    with pytest.raises(SpecError, match="is no TOML file"):
        load_job(path)


def test_the_template_is_a_job_with_every_key_commented():
    text = template()
    assert parse_job(tomllib.loads(text), where="template").layer == "flares"
    everything = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line for line in text.splitlines()
    )
    job = parse_job(tomllib.loads(everything), where="template")
    assert job.run.partitions_per_task == 16
    assert job.input.layers == ("lightcurve-features",)
