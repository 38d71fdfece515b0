"""What each bad input gets: an error that names it before anything runs, or a flag on a row that stays.

One entry per row of the specification of bad inputs, as far as there is code that it could
meet. Not yet applicable, since nothing reads such data:

======================================  ==============================================
row                                     comes with
======================================  ==============================================
missing, truncated or flipped Zarr      tensor stores
chunk; two writers of one chunk
wrong shape, type or bands of a cutout  cutouts and systems that read them
BatchNorm left in train()               networks (the rule that would catch it is here)
ids through a float32 tensor, uint8     networks (ids are no column that a system of
arithmetic in torch                     ours turns into an array)
MJD in TAI or UTC                       systems that need better than a minute
light curves longer than the longest    systems with a longest length (``LC_TRUNC``)
self-test vector in the bundle          networks
======================================  ==============================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from safetensors.numpy import save

import skyloom
from skyloom.catalog import open_catalog
from skyloom.catalog.check import check_catalog
from skyloom.catalog.ingest import import_catalog
from skyloom.catalog.readers import read_tables
from skyloom.catalog.spec import ImportSpec, TableSpec
from skyloom.cli import main
from skyloom.cluster import ClusterSpec
from skyloom.errors import ConflictError, DataError, ErrorKind, SkyloomError, SpecError, TransientError
from skyloom.evaluation.contract import RULES
from skyloom.jobs import open_layer, run
from skyloom.jobs.plan import plan_job
from skyloom.jobs.spec import parse_job
from skyloom.models.weights import CARD
from skyloom.runtime.contract import NON_FINITE_OUTPUT
from tests.faults import probe
from tests.models.test_weights import with_digest_of
from tests.runtime.test_scoring import Root, scored
from tests.tiny_catalogs import FIRST_ID, objects, write_hats, write_tiny_catalog

HERE = ClusterSpec(kind="in-process")
FEATURES = {"job": "bank", "model": "lightcurve-features", "layer": "features", "model_config": {"bands": ["g"]}}


def job_of(catalog, folder, **sections):
    places = {"input": {"catalog": str(catalog)}, "output": {"store": str(folder / "layers")}}
    return parse_job({**FEATURES, **places, **sections}, where="bank")


def layer_of(folder, name="features") -> pa.Table:
    return pa.concat_tables(
        [pq.read_table(f, partitioning=None) for f in open_layer(name, folder / "layers").files]
    )


def read(path) -> pa.Table:
    return pq.read_table(path, partitioning=None)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], **options) -> None:
    table = change(read(path))
    path.unlink()
    pq.write_table(table, path, **options)


def replaced(table: pa.Table, name: str, values) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def first(table: pa.Table, name: str, value) -> pa.Table:
    """Give one column another value in its first row."""
    values = [value, *table[name].to_pylist()[1:]]
    return replaced(table, name, pa.array(values, table.schema.field(name).type))


def spoilt_page(path: Path) -> None:
    """Write checksums, then flip a bit of a page of ra."""
    rewrite(path, lambda t: t, write_page_checksum=True, compression="none", use_dictionary=False)
    metadata = pq.read_metadata(path).row_group(0)
    column = next(c for i in range(50) if (c := metadata.column(i)).path_in_schema == "ra")
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 3] ^= 1
    path.write_bytes(bytes(data))


def garbage_tail(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-200] + b"\xff" * 192 + data[-8:])


# Files of a catalog: refused by path, column, expected and found; `catalog check` says the same.


@dataclass(frozen=True)
class Broken:
    """One way to break one partition file of a catalog."""

    damage: Callable[[Path], object]
    kind: ErrorKind
    """What `catalog check` calls it."""
    said: tuple[str, ...]
    """What was found and expected."""
    stops: str = "plan"
    """When a job over it is refused: at the plan, in the run, or (rows are sound otherwise) never."""
    whole: bool = field(default=False, kw_only=True)
    """Whether the finding is about the catalog, not one partition."""


BROKEN = {
    "empty file": Broken(lambda p: p.write_bytes(b""), ErrorKind.BAD_FILE, ("it is empty",)),
    "truncated file": Broken(
        lambda p: p.write_bytes(p.read_bytes()[:-20]), ErrorKind.BAD_FILE, ("truncated or not a Parquet file",)
    ),
    "garbage at the end": Broken(garbage_tail, ErrorKind.BAD_FILE, ("cannot be read as Parquet",)),
    "missing file": Broken(Path.unlink, ErrorKind.NO_SUCH_FILE, ("does not exist", "lists its partition")),
    "flipped bit of a page": Broken(spoilt_page, ErrorKind.BAD_FILE, ("cannot be read", "CRC"), "run"),
    "id as text": Broken(
        lambda p: rewrite(p, lambda t: replaced(t, "object_id", t["object_id"].cast(pa.string()))),
        ErrorKind.SCHEMA_DRIFT, ("'object_id' is string", "says int64"),
    ),
    "integers as floats": Broken(
        lambda p: rewrite(p, lambda t: replaced(t, "target", t["target"].cast(pa.float64()))),
        ErrorKind.SCHEMA_DRIFT, ("'target' is double", "says int64"), "never",
    ),
    "missing column": Broken(
        lambda p: rewrite(p, lambda t: t.drop_columns(["ra"])), ErrorKind.SCHEMA_DRIFT, ("'ra'", "double")
    ),
    "light curve without a field": Broken(
        lambda p: rewrite(p, lambda t: replaced(t, "lc", pa.StructArray.from_arrays(
            [t["lc"].combine_chunks().field(i) for i in (0, 1, 2)], names=["mjd", "flux", "flux_err"]))),
        ErrorKind.SCHEMA_DRIFT, ("'lc'", "band"),
    ),
    "fewer rows than the metadata say": Broken(
        lambda p: rewrite(p, lambda t: t[:-1]), ErrorKind.ROW_COUNT, ("60 rows", "hold 59"), "never", whole=True
    ),
    "right ascension 370": Broken(
        lambda p: rewrite(p, lambda t: first(t, "ra", 370.0)), ErrorKind.BAD_POSITION, ("370.0", "1 of"), "never"
    ),
    "right ascension -10": Broken(
        lambda p: rewrite(p, lambda t: first(t, "ra", -10.0)), ErrorKind.BAD_POSITION, ("-10.0", "1 of"), "never"
    ),
    "infinite right ascension": Broken(
        lambda p: rewrite(p, lambda t: first(t, "ra", math.inf)), ErrorKind.BAD_POSITION, ("inf", "1 of"), "never"
    ),
    "no declination": Broken(
        lambda p: rewrite(p, lambda t: first(t, "dec", math.nan)), ErrorKind.BAD_POSITION, ("nan", "1 of"), "never"
    ),
    "declination 95": Broken(
        lambda p: rewrite(p, lambda t: first(t, "dec", 95.0)), ErrorKind.BAD_POSITION, ("95.0", "1 of"), "never"
    ),
    "a row of another pixel": Broken(
        lambda p: rewrite(p, lambda t: replaced(t, "_healpix_29", pc.add(t["_healpix_29"], 1 << 57))),
        ErrorKind.BAD_POSITION, ("another pixel", "_healpix_29"), "never",
    ),
    "an id twice": Broken(
        lambda p: rewrite(p, lambda t: first(t, "object_id", t["object_id"][-1].as_py())),
        ErrorKind.DUPLICATE_ID, ("1 ids in 'object_id'",), "never",
    ),
    "a null id": Broken(
        lambda p: rewrite(p, lambda t: first(t, "object_id", None)), ErrorKind.BAD_ROW, ("no object_id",), "never"
    ),
}  # fmt: skip


def broken(tmp_path, entry: Broken) -> tuple[Path, str, Path]:
    """A catalog whose largest partition is broken; its root, the partition's key and file."""
    root = write_tiny_catalog(tmp_path / "sky", rows=60, threshold=60, longest=12)
    partition = max(open_catalog(root).partitions(), key=lambda p: p.rows)
    path = root / partition.files[0]
    entry.damage(path)
    return root, partition.key, path


@pytest.mark.parametrize("name", BROKEN)
def test_check_names_file_partition_and_difference(tmp_path, name, capsys):
    entry = BROKEN[name]
    root, key, path = broken(tmp_path, entry)
    found = [f for f in check_catalog(open_catalog(root), full=True).findings if f.kind == entry.kind]
    finding = found[0]
    assert (finding.key, finding.file) == (("", f"{root}/hats.properties") if entry.whole else (key, str(path)))
    for word in entry.said:
        assert word in finding.message
    assert main(["catalog", "check", str(root), "--full", "--json"]) == 1
    assert finding.file in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name, entry in BROKEN.items() if entry.stops == "plan"])
def test_a_job_over_it_is_refused_before_anything_runs(tmp_path, name):
    entry = BROKEN[name]
    root, _, path = broken(tmp_path, entry)
    with pytest.raises(DataError) as caught:
        plan_job(job_of(root, tmp_path))
    assert caught.value.kind == entry.kind
    assert str(path) in caught.value.message
    assert not (tmp_path / "layers").exists()


@pytest.mark.parametrize("name", [name for name, entry in BROKEN.items() if entry.stops == "run"])
def test_a_job_that_meets_it_names_file_and_partition_and_publishes_nothing(tmp_path, name):
    root, key, path = broken(tmp_path, BROKEN[name])
    with pytest.raises(TransientError, match=r"1 of \d+ partitions failed") as caught:
        run(job_of(root, tmp_path), cluster=HERE, progress=False)
    assert str(path) in caught.value.message
    assert key in caught.value.message
    assert not list((tmp_path / "layers").glob("*/refs/v*"))


@pytest.mark.parametrize("name", [name for name, entry in BROKEN.items() if entry.stops == "never"])
def test_rows_with_it_stay_in_the_layer_where_they_were(tmp_path, name):
    root, _, _ = broken(tmp_path, BROKEN[name])
    run(job_of(root, tmp_path), cluster=HERE, progress=False)
    base = pa.concat_tables([
        pq.read_table(root / f, columns=["object_id", "ra", "_healpix_29"], partitioning=None)
        for p in open_catalog(root).partitions() for f in p.files
    ])  # fmt: skip
    layer = layer_of(tmp_path)
    for column in base.column_names:
        np.testing.assert_array_equal(layer[column].to_numpy(), base[column].to_numpy())


def test_columns_in_another_order_are_the_same_columns(tmp_path):
    whole = write_tiny_catalog(tmp_path / "a" / "sky", rows=60, longest=12)
    turned = write_tiny_catalog(tmp_path / "b" / "sky", rows=60, longest=12)
    path = max(turned.rglob("Npix=*.parquet"), key=lambda p: p.stat().st_size)
    rewrite(path, lambda t: t.select(t.column_names[::-1]))
    for root in (whole, turned):
        run(job_of(root, root.parent), cluster=HERE, progress=False)
    assert layer_of(whole.parent).equals(layer_of(turned.parent))


def test_nothing_here_asks_others_to_skip_files_that_they_cannot_read():
    package = Path(skyloom.__file__).parent
    assert not [p for p in package.rglob("*.py") if "exclude_invalid_files" in p.read_text()]


def test_what_we_write_has_checksums_of_pages(tmp_path):
    """So that a flipped bit of an import or of a layer is found, wherever it is."""
    pq.write_table(objects(40).drop_columns(["lc"]), tmp_path / "in.parquet")
    imported = import_catalog(spec(tmp_path, "in.parquet", id="object_id", columns={"mwebv": {"unit": "mag"}}))
    settings = {"magnitudes": ["mwebv", "again"]}
    places = {"catalog": imported.root, "columns": {"again": "mwebv"}}
    job = job_of(imported.root, tmp_path, model="colors", layer="c", model_config=settings, input=places)
    run(job, cluster=HERE, progress=False)
    for path in (
        Path(imported.root) / imported.partitions()[0].files[0],
        Path(open_layer("c", tmp_path / "layers").files[0]),
    ):
        column = pq.read_metadata(path).row_group(0).column(1)
        data = bytearray(path.read_bytes())
        data[column.data_page_offset + column.total_compressed_size - 3] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(OSError, match="CRC"):
            pq.read_table(path, page_checksum_verification=True, partitioning=None)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_catalog_without_rows_or_with_one_is_a_catalog(tmp_path, rows):
    root = write_hats(tmp_path / "sky", objects(rows))
    report = run(job_of(root, tmp_path), cluster=HERE, progress=False)
    assert (report.rows, report.partitions) == (rows, rows)
    assert check_catalog(open_catalog(root)).ok


def test_a_partition_too_large_for_memory_is_refused_by_key(tmp_path):
    root = write_tiny_catalog(tmp_path / "sky")
    largest = max(open_catalog(root).partitions(), key=lambda p: p.bytes)
    with pytest.raises(SpecError, match="task_memory_bytes=20000") as caught:
        plan_job(job_of(root, tmp_path, run={"task_memory_bytes": 20_000}))
    assert caught.value.kind == ErrorKind.PLAN_TOO_LARGE
    assert largest.key in caught.value.message


# Units and sentinels.


def with_unit(table: pa.Table, column: str, unit: str) -> pa.Table:
    index = table.schema.get_field_index(column)
    return table.set_column(index, table.schema.field(column).with_metadata({"unit": unit}), table[column])


@pytest.mark.parametrize(("unit", "said"), [("nJy", "is in 'nJy'"), ("", "does not state its unit")])
def test_another_unit_is_an_error_with_both_and_a_conversion_is_explicit(tmp_path, unit, said):
    root = write_hats(tmp_path / "sky", with_unit(objects(40), "hostgal_photoz", unit))
    settings = {"magnitudes": ["mwebv", "hostgal_photoz"]}
    job = {"model": "colors", "layer": "c", "model_config": settings}
    with pytest.raises(SpecError, match=f"'hostgal_photoz' {said}; the model reads 'mag'") as caught:
        plan_job(job_of(root, tmp_path, **job))
    assert caught.value.kind == ErrorKind.COLUMN_UNIT
    stated = {"catalog": str(root), "units": {"hostgal_photoz": "mag"}}
    plan_job(job_of(root, tmp_path, **job, input=stated))


def spec(folder: Path, *files: str, columns=None, **objects_settings) -> ImportSpec:
    names = [str(folder / name) for name in files]
    given = {"files": names, "columns": columns or {}, "keep": "listed", **objects_settings}
    return ImportSpec.model_validate({"name": "sky", "output": str(folder / "imported"), "objects": given})


BAD = [math.nan, math.inf, -math.inf, -999.0, 99.0]


def test_sentinels_and_numbers_that_are_none_become_nulls_and_flags_and_every_row_stays(tmp_path):
    n = len(BAD) + 1
    table = pa.table({
        "id": pa.array([2**63 + 1 + i for i in range(n)], pa.uint64()),
        "ra": [float(i) for i in range(n)], "dec": [0.0] * n,
        "blue": pa.array([*BAD, 18.0], pa.float32()), "red": pa.array([17.0] * n, pa.float32()),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "in.parquet")
    magnitude = {"unit": "mag", "null_values": [-999, 99]}
    catalog = import_catalog(spec(tmp_path, "in.parquet", id="id", columns={"blue": magnitude, "red": magnitude}))
    settings = {"magnitudes": ["blue", "red"]}
    job = job_of(catalog.root, tmp_path, model="colors", layer="c", model_config=settings)
    assert run(job, cluster=HERE, progress=False).rows == n
    layer = layer_of(tmp_path, "c").sort_by("id")
    assert layer["id"].to_pylist() == table["id"].to_pylist()
    assert layer["color_blue_red"].to_pylist() == [None] * len(BAD) + [1.0]
    assert [bool(flag) for flag in layer["c_flag"].to_pylist()] == [True] * len(BAD) + [False]


def test_an_output_that_is_no_number_is_null_with_its_flag():
    out, faults = scored(
        Root(output=lambda x: {"root": np.float32(x), "word": np.full(len(x), "w")}), [np.inf, 4.0]
    )
    assert out.column("root").to_pylist() == [None, 4.0]
    assert out.column("my_layer_flag").to_pylist() == [NON_FINITE_OUTPUT.mask, 0]
    assert not faults


def test_a_model_whose_rows_see_their_neighbours_breaks_a_rule():
    """What BatchNorm in training mode would do."""

    def normalised(rows, batch_rows=99):
        x = rows.column("x").to_numpy()
        return pa.RecordBatch.from_arrays([pa.array(x - x.mean())], names=["x"])

    rows = pa.RecordBatch.from_arrays([pa.array([1.0, 2.0, 4.0])], names=["x"])
    assert not RULES["gives a row the same values alone and among others"](normalised, rows, rows.schema)


# What an import gets.


def test_fits_is_read_with_its_masks_its_byte_order_and_its_text(tmp_path):
    columns = [
        fits.Column("id", "K", array=np.array([2**53 + 1, 2**53 + 2], ">i8")),
        fits.Column("n", "J", array=np.array([7, 999_999], ">i4"), null=999_999),
        fits.Column("mag", "E", array=np.array([17.5, np.nan], ">f4")),
        fits.Column("name", "4A", array=np.array([b"a", b"bb"])),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    ((_, table),) = read_tables(TableSpec(files=(str(tmp_path / "t.fits"),)), None)
    assert table.to_pydict() == {
        "id": [2**53 + 1, 2**53 + 2], "n": [7, None], "mag": [17.5, None], "name": ["a", "bb"],
    }  # fmt: skip


POSITIONS = [("ra", 370.0), ("ra", -10.0), ("ra", math.inf), ("ra", math.nan), ("dec", 95.0)]


@pytest.mark.parametrize(("column", "value"), POSITIONS)
def test_an_import_refuses_positions_with_count_and_first_ids(tmp_path, column, value):
    table = first(objects(20).drop_columns(["lc"]), column, value)
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(DataError, match=f"1 of 20 rows.*{table['object_id'][0]}") as caught:
        import_catalog(spec(tmp_path, "in.parquet", id="object_id"))
    assert caught.value.kind == ErrorKind.BAD_POSITION
    assert not (tmp_path / "imported").exists()


IDS = {
    "null": (lambda ids: pa.array([None, *ids[1:]], pa.int64()), ErrorKind.BAD_ROW, "1 rows have no 'object_id'"),
    "float": (lambda ids: pa.array(ids, pa.int64()).cast(pa.float64(), safe=False), ErrorKind.COLUMN_TYPE, "2^53"),
    "twice": (lambda ids: pa.array([ids[1], *ids[1:]]), ErrorKind.DUPLICATE_ID, "object_id"),
    "none at all": (lambda ids: pa.array(ids)[:0], ErrorKind.BAD_FILE, "no rows"),
}


@pytest.mark.parametrize("name", IDS)
def test_an_import_refuses_ids_that_do_not_name_a_row(tmp_path, name):
    change, kind, said = IDS[name]
    table = objects(20).drop_columns(["lc"])
    ids = change(table["object_id"].to_pylist())
    pq.write_table(replaced(table[: len(ids)], "object_id", ids), tmp_path / "in.parquet")
    with pytest.raises(SkyloomError) as caught:
        import_catalog(spec(tmp_path, "in.parquet", id="object_id"))
    assert caught.value.kind == kind
    assert said in caught.value.message
    assert "in.parquet" in caught.value.message


def test_an_import_of_files_whose_types_differ_names_file_column_and_types(tmp_path):
    table = objects(20).drop_columns(["lc"])
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(replaced(table, "mwebv", table["mwebv"].cast(pa.string())), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet.*'mwebv'") as caught:
        import_catalog(spec(tmp_path, "a.parquet", "b.parquet", id="object_id", keep="all"))
    assert caught.value.kind == ErrorKind.SCHEMA_DRIFT
    assert "string" in caught.value.message
    assert "double" in caught.value.message


@pytest.mark.parametrize("start", [FIRST_ID, 2**63 + 1])
def test_ids_that_differ_by_one_stay_apart_through_import_and_job(tmp_path, start):
    table = objects(30)
    ids = pa.array([start + i for i in range(30)], pa.uint64())
    pq.write_table(replaced(table, "object_id", ids), tmp_path / "in.parquet")
    catalog = import_catalog(spec(tmp_path, "in.parquet", id="object_id", keep="all"))
    run(job_of(catalog.root, tmp_path), cluster=HERE, progress=False)
    layer = layer_of(tmp_path)
    assert layer.schema.field("object_id").type == pa.uint64()
    assert sorted(layer["object_id"].to_pylist()) == ids.to_pylist()


# Weights: refused at the plan, and again by each worker.


@pytest.fixture
def bench(tmp_path, shared_tiny_catalog):
    return probe.Bench(tmp_path, shared_tiny_catalog)


def flip(bundle: Path) -> None:
    data = bytearray((bundle / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "model.safetensors").write_bytes(bytes(data))


def vouched(name: str, data: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Replace or add a file, with its digest in the card."""
    return lambda bundle: with_digest_of(bundle, name, data((bundle / "model.safetensors").read_bytes()))


WEIGHTS = {
    "flipped bit": (flip, "expected sha256:"),
    "truncated": (vouched("model.safetensors", lambda data: data[:-4]), "torn"),
    "NaN": (vouched("model.safetensors", lambda _: save({"scale": np.array([np.nan])})), "scale holds NaN"),
    "pickle by name": (vouched("model.pt", lambda data: data), "model.pt"),
    "pickle by content": (vouched("model.safetensors", lambda _: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0."), "pickle"),
    "card of another model": (
        lambda b: (b / CARD).write_text((b / CARD).read_text().replace('"probe"', '"other"')), "card of other",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTS)
def test_bad_weights_are_refused_before_anything_runs(bench, name):
    change, said = WEIGHTS[name]
    change(bench.bundles / "probe" / "one")
    with pytest.raises(DataError, match="probe") as caught:
        bench.plan()
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS
    assert said in caught.value.message
    assert not bench.layers.exists()


def test_arrays_of_another_architecture_are_refused():
    from skyloom.models import registry
    from skyloom.models.weights import load_weights

    system = registry.system("transient-anomaly")
    with pytest.raises(SkyloomError):
        system.build(system.Config(), load_weights("transient-class")[1])


@pytest.mark.parametrize("change", [flip, lambda bundle: probe.write_weights(bundle.parents[1], 2.0)])
def test_a_worker_whose_weights_are_not_those_of_the_plan_computes_nothing(bench, change):
    """Also where its own card vouches for them, as with another version of the package."""
    planned = bench.plan()
    change(bench.bundles / "probe" / "one")
    said = r"model\.safetensors is not the file of its card|has other weights than the run was planned"
    with pytest.raises((TransientError, ConflictError), match=said):
        bench.run(HERE, planned)
    assert not list(bench.layers.rglob("Npix=*.parquet"))
