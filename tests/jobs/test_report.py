"""A report is one file that fetches nothing, shows text as text, and says what the manifests say."""

from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser

import pytest

import skyloom
import toy_tensors
import toy_words
from skyloom.cli import main
from skyloom.engine import run_plan
from skyloom.errors import ConflictError, NotFoundError, SpecError, TransientError
from skyloom.jobs import open_layer, run
from skyloom.jobs.eligibility import funnel_of
from skyloom.jobs.report import report
from skyloom.models import registry
from skyloom.reporting import MOST_BYTES
from skyloom.reporting.page import POLICY
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.engine.test_run import in_process
from tests.tensor_stores import write_tensors

CRITERIA = ("count(lc.mjd) >= 10", "hostgal_photoz < 1.45")
FETCHED = {"src", "href", "srcset", "data", "action", "poster", "xlink:href", "background", "ping"}


class Page(HTMLParser):
    """What a browser would make of a report: its elements, and the text that is shown."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._inside = [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not self._inside or self._inside[-1] != "style":
            self.words.append(data)

    @property
    def tags(self):
        return {tag for tag, _ in self.elements}

    def fetched(self):
        links = [value for _, attrs in self.elements for name, value in attrs.items() if name in FETCHED]
        return [link for link in links if not link.startswith(("data:image/png;base64,", "#"))]


@pytest.fixture(autouse=True)
def _toys(monkeypatch):
    for name, module in (("toy-words", toy_words), ("toy-tensors", toy_tensors)):
        monkeypatch.setitem(registry._SYSTEMS, name, module.__name__)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def hostile(tmp_path, shared_tiny_catalog):
    """A catalog whose name is markup."""
    root = shutil.copytree(shared_tiny_catalog, tmp_path / "hostile")
    properties = root / "hats.properties"
    text = properties.read_text().replace("obs_collection=tiny", "obs_collection=<script>alert(1)</script>")
    properties.write_text(text + 'obs_title=<img src=x onerror="alert(2)">\n')
    return root


@pytest.fixture
def words(hostile, job_of):
    """A finished layer of words, with rows in quarantine and rows that are not eligible."""
    job = job_of(hostile, model="toy-words", layer="words", eligibility=CRITERIA, run={"max_bad_fraction": 1.0})
    return run(job, cluster="in-process", progress=False)


def page_of(path):
    return Page(path.read_text(encoding="utf-8"))


def test_a_report_is_one_small_file_that_fetches_nothing_and_runs_nothing(words, tmp_path):
    path = report("words", tmp_path / "layers", output=tmp_path / "r.html", magnitude="mwebv")
    page = page_of(path)
    assert path.stat().st_size < MOST_BYTES / 10
    assert list(tmp_path.glob("*.partial")) == []
    assert page.fetched() == []
    assert page.tags & {"script", "link", "iframe", "object", "embed", "form", "base"} == set()
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    policies = [attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv")]
    assert policies == [POLICY]
    assert "url(" not in path.read_text()
    assert "@import" not in path.read_text()


def test_words_of_a_catalog_and_of_its_name_are_shown_as_text(words, tmp_path):
    page = page_of(report("words", tmp_path / "layers", output=tmp_path / "r.html"))
    assert toy_words.HOSTILE in page.text
    assert "<script>alert(1)</script>" in page.text
    assert '<img src=x onerror="alert(2)">' in page.text
    assert "too far: <b>bold</b>" in page.text
    assert page.tags & {"script", "b"} == set()
    assert all(attrs.get("src") != "x" for _, attrs in page.elements)


def test_counts_flags_quarantine_and_funnel_are_those_of_the_manifest(words, tmp_path):
    page = page_of(report("words", tmp_path / "layers", output=tmp_path / "r.html"))
    layer = open_layer("words", tmp_path / "layers")
    manifest = layer.published.manifest
    assert manifest.quarantined > 0
    share = f"{manifest.quarantined:,} ({100 * manifest.quarantined / manifest.rows:.2f} %)"
    assert f"rows in quarantine {share} manifest.json: quarantined" in page.text
    assert f"Quarantine: {manifest.quarantined} of {manifest.quarantined} rows" in page.text
    assert page.text.count("too far: <b>bold</b>") == manifest.quarantined
    flagged = f"{manifest.flagged:,} ({100 * manifest.flagged / manifest.rows:.2f} %)"
    assert page.text.count(flagged) == 2  # the manifest's, and counted again from the column
    assert "files were changed" not in page.text
    steps = funnel_of(layer.provenance)
    assert len(steps) == 2
    for step in steps:
        assert f"{step.criterion} {step.holds} {step.fails} {step.not_known} {step.left}" in page.text
    assert "not eligible: count(lc.mjd) >= 10 does not hold or is not known" in page.text
    assert f"MODEL_ERROR 16777216 {manifest.quarantined}" in page.text
    assert "there is no redshift" in page.text


def test_every_output_is_there_and_says_which_column_it_is_from(words, tmp_path):
    page = page_of(report("words", tmp_path / "layers", output=tmp_path / "r.html", magnitude="mwebv"))
    for name in ("toy_class", "toy_p", "toy_ood", "words_eligible"):
        assert f"column {name} of dataset, every row" in page.text
    assert "column mwebv of the catalog; edges by quantiles" in page.text
    labels = [attrs["aria-label"] for tag, attrs in page.elements if tag == "svg"]
    wanted = {
        "map of the density of rows",
        "map of the mean of toy_p",
        "map of the share of rows with toy_ood < 0.05",
        "toy_p by magnitude: median and central 68 per cent of each group",
        "light curve",
    }
    assert wanted <= set(labels)
    assert "Most anomalous: least like the training rows" in page.text


def test_batches_and_partitions_change_nothing_that_is_counted(words, tmp_path, monkeypatch):
    whole = report("words", tmp_path / "layers", output=tmp_path / "a.html").read_text()
    monkeypatch.setattr("skyloom.reporting.rows.BATCH_ROWS", 7)
    pieces = report("words", tmp_path / "layers", output=tmp_path / "b.html").read_text()
    stamp = re.compile(r"written \S+ \S+ UTC")
    assert stamp.sub("", whole) == stamp.sub("", pieces)


def test_a_report_that_would_be_too_large_leaves_pictures_out_and_then_is_refused(words, tmp_path, monkeypatch):
    whole = report("words", tmp_path / "layers", output=tmp_path / "a.html").stat().st_size
    monkeypatch.setattr("skyloom.reporting.assemble.MOST_BYTES", whole - 1000)
    path = report("words", tmp_path / "layers", output=tmp_path / "b.html")
    assert path.stat().st_size < whole - 1000
    assert "Pictures are left out" in page_of(path).text
    monkeypatch.setattr("skyloom.reporting.assemble.MOST_BYTES", 1000)
    with pytest.raises(SpecError, match="--objects"):
        report("words", tmp_path / "layers", output=tmp_path / "c.html")
    assert not (tmp_path / "c.html").exists()


def test_a_layer_that_is_not_finished_gets_a_report_that_says_so(tmp_path):
    store = LocalStore(tmp_path / "layers")
    with pytest.raises(TransientError):
        run_plan(toy.plan(4, faulty=[0], **{"raise": [2]}), store, in_process)
    page = page_of(report("toy", store.root, output=tmp_path / "r.html"))
    assert "Not finished (stopped)" in page.text
    assert "3 of 4 partitions are committed" in page.text
    assert "poison in Norder=1/Dir=0/Npix=2" in page.text
    assert "rows committed 30 records" in page.text
    assert "of these in quarantine 1 records" in page.text
    assert "There are no values before a version is published." in page.text
    assert page.fetched() == []


def test_a_finished_layer_with_a_newer_unfinished_job_is_reported_and_says_so(words, hostile, job_of, tmp_path):
    store = LocalStore(tmp_path / "layers")
    with pytest.raises(TransientError):
        run_plan(toy.plan(4, layer="words", **{"raise": [2]}), store, in_process)
    page = page_of(report("words", store.root, output=tmp_path / "r.html"))
    assert "is stopped and not published: this report is of version 1" in page.text
    assert "column toy_p of dataset, every row" in page.text


def test_a_store_of_cutouts_that_is_gone_or_changed_is_said_and_the_rest_is_reported(
    shared_tiny_catalog, job_of, tmp_path
):
    store = write_tensors(tmp_path / "store", shared_tiny_catalog)
    tensors = {"cutout": str(store)}
    job = job_of(shared_tiny_catalog, model="toy-tensors", layer="sums", input={"tensors": tensors})
    run(job, cluster="in-process", progress=False)
    layers = tmp_path / "layers"

    def made(number, **asked):
        return page_of(report("sums", layers, output=tmp_path / f"{number}.html", **asked))

    with_images = made(1, tensors=tensors)
    assert [a["alt"] for tag, a in with_images.elements if tag == "img"].count("cutout: channel 0") > 4
    nameless = made(2)
    assert "Name it by --tensors cutout=STORE, or the job file by --job." in nameless.text
    assert "img" not in nameless.tags
    gone = made(3, tensors={"cutout": str(tmp_path / "nowhere")})
    assert "there is no tensor store at" in gone.text
    other = made(4, tensors={"cutout": str(write_tensors(tmp_path / "other", shared_tiny_catalog, chunk_rows=4))})
    assert "it changed since" in other.text
    for page in (nameless, gone, other):
        assert "column total of dataset, every row" in page.text
    with pytest.raises(SpecError, match="cutout"):
        made(5, tensors={"cutuot": str(store)})


def test_a_catalog_that_moved_is_said_unless_it_was_asked_for(words, hostile, tiny_catalog, tmp_path):
    hostile.rename(tmp_path / "elsewhere")
    page = page_of(report("words", tmp_path / "layers", output=tmp_path / "a.html"))
    assert "The catalog is not looked at" in page.text
    assert "light curve" not in [attrs.get("aria-label") for tag, attrs in page.elements if tag == "svg"]
    found = report("words", tmp_path / "layers", output=tmp_path / "b.html", catalog=tmp_path / "elsewhere")
    assert "light curve" in [attrs.get("aria-label") for tag, attrs in page_of(found).elements if tag == "svg"]
    with pytest.raises(ConflictError):
        report("words", tmp_path / "layers", output=tmp_path / "c.html", catalog=tiny_catalog("other", seed=3))
    with pytest.raises(SpecError, match="mwebv"):
        report("words", tmp_path / "layers", output=tmp_path / "d.html", magnitude="mwebv")


def test_a_layer_on_an_object_store_has_the_report_of_one_on_a_disk(words, hostile, job_of, tmp_path):
    store = f"memory://{tmp_path.name}"
    sections = {"eligibility": CRITERIA, "run": {"max_bad_fraction": 1.0}, "output": {"store": store}}
    run(job_of(hostile, model="toy-words", layer="words", **sections), cluster="in-process", progress=False)
    places = (store, str(tmp_path / "layers"))
    texts = [page_of(report("words", place, output=tmp_path / f"{k}.html")).text for k, place in enumerate(places)]
    ends = ("Rows, flags and eligibility rows 240", "Timing Runs of this job")
    told = [text.partition(ends[0])[2].partition(ends[1])[0] for text in texts]
    assert told[0] == told[1]
    assert "toy_p" in told[0]


def test_the_command_writes_the_file_once_and_python_the_same(words, tmp_path, capsys):
    output = tmp_path / "words.html"
    command = ["report", "words", "--store", str(tmp_path / "layers"), "--output", str(output)]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(output), "bytes": output.stat().st_size}
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert skyloom.report(tmp_path / "layers" / "words", output=tmp_path / "again.html").exists()


def test_a_layer_that_nobody_began_is_refused(words, tmp_path):
    with pytest.raises(NotFoundError, match="words"):
        report("wrods", tmp_path / "layers", output=tmp_path / "r.html")
    with pytest.raises(SpecError, match="NAME=STORE"):
        from skyloom.cli.reports import report as command

        command("words", store=str(tmp_path / "layers"), tensors=("cutout",))
