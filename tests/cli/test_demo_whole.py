"""The demo from end to end, twice, and every command that the documentation shows on its output."""

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import skyloom.cluster
from skyloom.cli import demo, main

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder in which `skyloom demo` ran, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as printed:
        patch.chdir(folder)
        with redirect_stdout(printed):
            assert main(["demo"]) == 0
        return folder, printed.getvalue()


def test_the_demo_ends_with_its_tables_and_where_everything_is(finished):
    _, printed = finished
    ten = printed.partition("the ten most anomalous objects\n")[2].splitlines()[1:11]
    ids = {str(i) for i in pq.read_table(demo.DATA / "objects.parquet")["object_id"].to_pylist()}
    assert {line.split()[0] for line in ten} < ids
    assert "objects of the sample that are one" in printed
    assert "Dask dashboard" in printed
    assert "layer transient-anomaly    demo-output/layers/" in printed


def test_a_second_demo_starts_nothing_and_says_the_same(finished, capsys, monkeypatch):
    folder, first = finished

    def no_cluster(spec):
        raise AssertionError("a cluster was started")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(skyloom.cluster, "start", no_cluster)
    assert main(["demo"]) == 0
    second = capsys.readouterr().out
    assert "everything is up to date: nothing was computed" in second
    answers = [text.partition("the ten most")[2].partition("where everything is")[0] for text in (first, second)]
    assert answers[0] == answers[1]


def test_the_readme_shows_what_the_demo_prints(finished):
    # Not to the digit: scores may differ in their last bits between processors.
    readme = (ROOT / "README.md").read_text().partition("```text")[2].partition("```")[0]
    shown, printed = (set(re.findall(r"^ *(\d{5,}) ", text, re.MULTILINE)) for text in (readme, finished[1]))
    assert len(shown) == 10
    assert len(shown & printed) >= 7


PAGES = {
    "README.md": "## Sixty seconds",
    "platform/docs/first-steps.md": "## Look around",
    "platform/docs/query.md": "# Query",
}


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of the section of a page that is about the demo's output."""
    section = (ROOT / page).read_text().partition(PAGES[page])[2].partition("\n## ")[0]
    return [part.partition("```")[0] for part in section.split(f"```{language}\n")[1:]]


def commands(page: str) -> list[list[str]]:
    """Return the skyloom commands of those blocks, as words."""
    words = [shlex.split(block.replace("\\\n", ""), comments=True) for block in blocks(page, "sh")]
    texts = [" ".join(map(shlex.quote, line)) for line in words]
    return [
        shlex.split(command)
        for text in texts
        for command in re.split(r"(?:^|\s)(?=skyloom (?:catalog|layer|model|query|run) )", text)
        if command.startswith("skyloom ") and "[--layers" not in command
    ]


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_that_the_documentation_shows_work(page, finished, monkeypatch, capsys):
    monkeypatch.chdir(finished[0])
    shown = commands(page)
    assert shown
    for command in shown:
        assert main(command[1:]) == 0, (command, capsys.readouterr().err)
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), {})


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel(finished):
    """One kernel for all notebooks, beside the demo's output; each starts with nothing defined."""
    client = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel, developers' tools")
    manager = pytest.importorskip("jupyter_client").KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(finished[0]))
    yield client, manager
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_the_demo_and_draws(path, kernel):
    nbformat = pytest.importorskip("nbformat")
    client, manager = kernel
    book = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells), "strip the outputs"
    book.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client.NotebookClient(book, km=manager, timeout=300).execute(reset_kc=False)
    drawn = [o for cell in book.cells for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})]
    assert drawn


def test_there_are_the_notebooks_that_the_list_names():
    listed = re.findall(r"\(([\w-]+\.ipynb)\)", (ROOT / "notebooks" / "README.md").read_text())
    assert listed == [path.name for path in NOTEBOOKS]
