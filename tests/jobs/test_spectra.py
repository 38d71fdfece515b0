"""Jobs over spectra: every row comes out, and a store on another grid is refused before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toy_spectra
from skyloom.catalog import open_catalog, read_partition
from skyloom.cli import main
from skyloom.errors import ConflictError, ErrorKind, NotFoundError, SpecError
from skyloom.jobs import run
from skyloom.jobs.make_spectra import SpectraRequest, import_spectra
from skyloom.jobs.plan import plan_job
from skyloom.models import registry
from skyloom.runtime.contract import CUTOUT_CORRUPT, CUTOUT_MISSING
from skyloom.runtime.tensors import TensorInput
from skyloom.spectra import Grid, Reading
from spectra_files import PIXELS, SDSS_UNIT, START, STEP, sample

GRID = Grid(PIXELS, start=START, step=STEP, log10=True)


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setitem(registry._SYSTEMS, "toy-spectra", "toy_spectra")
    monkeypatch.setitem(sys.modules, "toy_spectra", toy_spectra)


def spectra_of(ids):
    """Flux and inverse variance that an id decides; every fifth pixel of every third one is bad."""
    flux, ivar = (np.stack(values) for values in zip(*(sample(int(i % 1000)) for i in ids), strict=True))
    ivar[ids % 3 == 0, ::5] = 0.0
    return flux, ivar


@pytest.fixture
def stored(tmp_path, shared_tiny_catalog):
    """A maker of stores of spectra for the tiny catalog, of which every eleventh row has none."""
    catalog = open_catalog(shared_tiny_catalog)
    ids = np.concatenate(
        [read_partition(catalog.root, p, ["object_id"])["object_id"].to_numpy() for p in catalog.partitions()]
    )
    ids = ids[ids % 11 != 0]
    for name, values in zip(("flux", "ivar", "ids"), (*spectra_of(ids), ids), strict=True):
        np.save(tmp_path / f"{name}.npy", values)

    def make(name="store", **changes) -> Path:
        request = SpectraRequest(**{"grid": GRID, "reading": Reading(unit=SDSS_UNIT), **changes})
        beside = {"ivar": None if not request.reading.ivar else tmp_path / "ivar.npy", "ids": tmp_path / "ids.npy"}
        import_spectra(catalog, tmp_path / "flux.npy", tmp_path / name, request, **beside)
        return tmp_path / name

    return make


@pytest.fixture
def toy_job(job_of, shared_tiny_catalog):
    def make(store, catalog=shared_tiny_catalog, **settings):
        given = {"input": {"tensors": {"spec": str(store)}}, "model_config": settings}
        return job_of(catalog, model="toy-spectra", layer="toy", **given)

    return make


def layer_of(report):
    parts = sorted(Path(report.layer_path).rglob("Npix=*.parquet"))
    return pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts]).sort_by("object_id")


def test_a_run_over_a_catalog_and_its_spectra_writes_every_row(stored, toy_job):
    report = run(toy_job(stored()), cluster="in-process", progress=False)
    table = layer_of(report)
    assert table.num_rows == report.rows == 240
    ids = table["object_id"].to_numpy()
    off = ids % 11 == 0
    flux, ivar = (values.astype(np.float64) for values in spectra_of(ids))
    np.testing.assert_array_equal(np.asarray(table["mean_flux"].is_null()), off)
    wanted = (flux * ivar).sum(axis=1) / ivar.sum(axis=1)
    np.testing.assert_allclose(table["mean_flux"].to_numpy()[~off], wanted[~off], rtol=1e-12)
    np.testing.assert_allclose(table["seen"].to_numpy()[~off], (ivar > 0).mean(axis=1)[~off], rtol=1e-6)
    np.testing.assert_array_equal(table["toy_flag"].to_numpy(), np.where(off, 1 | CUTOUT_MISSING.mask, 0))
    assert run(toy_job(stored()), cluster="in-process", progress=False).up_to_date


def test_a_chunk_that_broke_costs_its_rows_and_no_other(stored, toy_job):
    store = stored()
    shard = max((p for p in store.rglob("values/c/*/0/0") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.write_bytes(bytes(data))
    flag = layer_of(run(toy_job(store), cluster="in-process", progress=False))["toy_flag"].to_numpy()
    assert 0 < ((flag & CUTOUT_CORRUPT.mask) > 0).sum() < 60
    assert (flag == 0).sum() > 150


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"grid": Grid(PIXELS, start=3.5801, step=1e-4, log10=True)},
            "its wavelengths are 120 pixels from 3802.7",
        ),
        ({"grid": Grid(PIXELS, start=START, step=STEP, log10=True, medium="air")}, "air"),
        ({"grid": Grid(PIXELS, start=3800.0, step=1.0)}, "the model reads 120 pixels from 3801.8"),
        ({"reading": Reading(unit="mJy")}, "are in 'mJy'"),
        ({"reading": Reading()}, "do not state their unit"),
        ({"reading": Reading(unit=SDSS_UNIT, ivar=False)}, r"shape \(1, 120\)"),
    ],
    ids=["shifted", "air", "linear", "unit", "no unit", "flux alone"],
)
def test_a_store_that_is_not_what_the_model_reads_is_refused_at_planning(stored, toy_job, changes, says):
    with pytest.raises(SpecError, match=says):
        plan_job(toy_job(stored(**changes)))


def test_all_that_does_not_fit_is_listed_at_once(stored, toy_job):
    with pytest.raises(SpecError) as raised:
        plan_job(toy_job(stored(), pixels=90, medium="air", unit="Jy"))
    for part in ("shape (2, 120)", "wavelengths are 120 pixels", "values are in"):
        assert part in raised.value.message


def test_a_store_is_made_on_the_grid_that_a_model_reads(tmp_path, stored, shared_tiny_catalog, toy_job, capsys):
    stored()
    words = ["--from", str(tmp_path / "flux.npy"), "--ivar", str(tmp_path / "ivar.npy"), "--ids"]
    words += [str(tmp_path / "ids.npy"), "--source-unit", SDSS_UNIT, "--output", str(tmp_path / "by-model")]
    assert main(["spectra", "import", str(shared_tiny_catalog), *words, "--model", "toy-spectra"]) == 0
    assert plan_job(toy_job(tmp_path / "by-model")).tensors[0].store.layout.grid == GRID
    both = ["--model", "toy-spectra", "--grid", "1", "1", "9"]
    for wrong, says in ((both, "--model and --grid"), (["--model", "gamornet"], "on 0 grids of its own")):
        assert main(["spectra", "import", str(shared_tiny_catalog), *words, *wrong]) == 2
        assert says in " ".join(capsys.readouterr().err.split())


def test_a_model_for_any_grid_takes_any(stored, toy_job):
    store = stored(grid=Grid(PIXELS, start=4000.0, medium="air"))
    assert plan_job(toy_job(store, any_grid=True)).tensors[0].store.layout.grid.medium == "air"


def test_the_store_of_another_catalog_a_half_made_and_a_missing_one_are_refused(stored, toy_job, tiny_catalog):
    store = stored()
    with pytest.raises(ConflictError, match="not made for catalog"):
        plan_job(toy_job(store, catalog=tiny_catalog(seed=4)))
    next(store.rglob("Npix=*/zarr.json")).unlink()
    with pytest.raises(NotFoundError) as raised:
        plan_job(toy_job(store))
    assert raised.value.kind is ErrorKind.NOT_FINISHED
    with pytest.raises(NotFoundError, match="skyloom spectra make"):
        plan_job(toy_job(store.parent / "nowhere"))


def test_a_job_that_names_no_store_is_told_which_command_makes_one(job_of, shared_tiny_catalog):
    with pytest.raises(SpecError, match="`skyloom spectra make` makes it"):
        plan_job(job_of(shared_tiny_catalog, model="toy-spectra", layer="toy"))


def test_a_tensor_whose_grid_has_other_pixels_than_its_shape_is_no_input():
    with pytest.raises(SpecError, match="its grid 120"):
        TensorInput("spec", (2, 100), grid=GRID)
