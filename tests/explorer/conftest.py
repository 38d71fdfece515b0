"""A small catalog with a hostile column and one layer; points of it; a server and a browser."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from skyloom.explorer.points import Points
from skyloom.jobs import open_catalog, run
from skyloom.jobs.spec import parse_job
from tests.tiny_catalogs import objects, write_hats

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="session")
def sky(tmp_path_factory):
    """Folder with a catalog `sky` of 240 rows, and the layer `features` in `layers`."""
    root = tmp_path_factory.mktemp("explorer")
    table = objects(240, longest=40)
    names = pa.array([HOSTILE if i % 2 else f"$$\\frac{{{i}}}{{2}}$$" for i in range(table.num_rows)])
    table = table.append_column(pa.field("name", pa.string(), metadata={"description": HOSTILE}), names)
    write_hats(root / "sky", table)
    values = {"job": "explorer", "model": "lightcurve-features", "layer": "features"}
    values |= {"input": {"catalog": str(root / "sky")}, "output": {"store": str(root / "layers")}}
    run(parse_job(values, where="test"), cluster="in-process", progress=False)
    return SimpleNamespace(root=root, catalog=root / "sky", layers=root / "layers", table=rows_of(root / "sky"))


def rows_of(catalog: Path) -> pa.Table:
    """All rows, in the order of the partitions as hats lists them; read without the code under test."""
    import pyarrow.parquet as pq

    data = catalog / "dataset"
    pixels = open_catalog(catalog).base.pixels
    files = [data / f"Norder={o}" / f"Dir={p // 10_000 * 10_000}" / f"Npix={p}.parquet" for o, p in pixels]
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])


@pytest.fixture(scope="session")
def view(sky):
    return open_catalog(sky.catalog).with_layers("features", store=sky.layers)


@pytest.fixture(scope="session")
def points(view):
    return Points.of(view)


@contextmanager
def served(*arguments: str):
    """Run `skyloom explore` on a free port; gives its address."""
    command = [sys.executable, "-m", "skyloom", "explore", *arguments, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), "the server did not start"
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


@pytest.fixture(scope="session")
def address(sky):
    """A page over the catalog and its layer, for all tests of a process; labels lie in `sky.root / "labels"`."""
    pytest.importorskip("panel", reason="needs the extra `explore`")
    (sky.root / "labels").mkdir()
    with served(
        str(sky.catalog), "--layers", "features", "--store", str(sky.layers), "--labels", str(sky.root),
        "--classes", "snia,kn", "--by", "ann", "--selections", str(sky.root / "selections"),
    ) as address:  # fmt: skip
        yield address


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, a developers' tool")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs a browser: install chromium")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=found, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def opened(chromium, address):
    """Open the page in a browser of its own: `opened("?id=1") -> page`; requests and errors are kept."""
    contexts = []

    def visit(query: str = "", *, wait: str = "#skyloom-map"):
        context = chromium.new_context(viewport={"width": 1420, "height": 1000})
        contexts.append(context)
        page = context.new_page()
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(address + query)
        page.locator(wait).wait_for(timeout=60_000)
        return page

    yield visit
    for context in contexts:
        context.close()


def eventually(look, wanted, *, seconds=30.0):
    """Look until what is seen is what is wanted; return it."""
    deadline = time.monotonic() + seconds
    while not wanted(found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert wanted(found), found
    return found
