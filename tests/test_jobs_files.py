"""Every file in jobs/ and catalogs/ loads, and says what it claims to say."""

import re
from pathlib import Path

import pytest

from skyloom.catalog import list_descriptors, load_descriptor
from skyloom.catalog.spec import load_import_spec
from skyloom.jobs import load_job, template
from skyloom.models import registry

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "platform" / "skyloom" / "cli" / "demo_data" / "jobs"
JOBS = sorted((ROOT / "jobs").glob("*.toml"))
DEMO_JOBS = sorted(DEMO.glob("*.toml"))
DESCRIPTORS = list_descriptors(ROOT / "catalogs")


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_there_are_job_files_and_descriptors():
    assert len(JOBS) >= 5
    assert len(DEMO_JOBS) == 3
    assert len(DESCRIPTORS) >= 3


@pytest.mark.parametrize("path", [*JOBS, *DEMO_JOBS], ids=name_of)
def test_a_job_file_loads_and_names_a_model_that_exists(path):
    job = load_job(path)
    assert job.model in registry.names()


@pytest.mark.parametrize("path", JOBS, ids=name_of)
def test_a_job_file_is_called_as_its_job_and_names_a_described_catalog(path):
    job = load_job(path)
    assert job.job == path.stem
    assert job.input.catalog in {descriptor.stem for descriptor in DESCRIPTORS}


@pytest.mark.parametrize("path", JOBS, ids=name_of)
def test_a_job_file_says_first_what_it_does_and_how_to_see_its_plan(path):
    first, second, *_ = path.read_text().splitlines()
    assert first.startswith("# ")
    assert f"skyloom run jobs/{path.name} --plan" in second


@pytest.mark.parametrize("path", DESCRIPTORS, ids=name_of)
def test_a_descriptor_states_licence_and_citation(path, monkeypatch, tmp_path):
    monkeypatch.setenv("SKYLOOM_CATALOGS", str(tmp_path))
    monkeypatch.setenv("SKYLOOM_DATA", str(tmp_path))
    descriptor = load_descriptor(path)
    assert descriptor.name == path.stem
    assert descriptor.title
    assert descriptor.licence
    assert descriptor.citation


IMPORTS = sorted((ROOT / "catalogs" / "imports").glob("*.toml"))


@pytest.mark.parametrize("path", IMPORTS, ids=name_of)
def test_an_import_file_loads_and_is_called_as_its_catalog(path):
    spec = load_import_spec(path)
    assert spec.name == path.stem
    assert spec.licence
    assert spec.citation


def test_the_page_on_job_files_names_every_key():
    page = (ROOT / "platform" / "docs" / "job-file.md").read_text()
    keys = re.findall(r"^(?:# )?(\w+) = ", template(), re.MULTILINE)
    missing = [key for key in keys if f"{key} = " not in page and f"[input.{key}]" not in page]
    assert missing == []


def test_the_job_on_the_page_on_job_files_loads(tmp_path):
    page = (ROOT / "platform" / "docs" / "job-file.md").read_text()
    job = tmp_path / "job.toml"
    job.write_text(page.partition("```toml\n")[2].partition("```")[0])
    assert load_job(job).model in registry.names()
