"""Importing foreign tables: what goes in comes out, or nothing does."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table

from skyloom.catalog import open_catalog, read_partition, staging
from skyloom.catalog.check import check_catalog
from skyloom.catalog.descriptor import validated
from skyloom.catalog.ingest import ImportSpec, import_catalog, load_import_spec
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError, StoreFullError
from tiny_catalogs import objects

N = 300


def stars(rows=N, seed=0):
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "OBJ": 2**63 + rng.permutation(rows).astype(np.uint64),
            "RAJ2000": rng.uniform(0, 360, rows),
            "DEJ2000": np.degrees(np.arcsin(rng.uniform(-1, 1, rows))),
            "mag": pa.array(np.where(rng.random(rows) < 0.2, -99.0, rng.uniform(14, 20, rows)), pa.float32()),
            "flag": pa.array(rng.choice([0, 1, 99], rows), pa.int32()),
        }
    )


def points(objects, seed=1):
    rng = np.random.default_rng(seed)
    ids = rng.choice(objects["OBJ"].to_numpy()[: objects.num_rows // 2], 4_000)
    return pa.table(
        {
            "OBJ": ids,
            "time": rng.uniform(59_000, 60_000, len(ids)),
            "fluxcal": pa.array(rng.normal(0, 50, len(ids)), pa.float32()),
            "passband": pa.array(rng.integers(0, 3, len(ids)), pa.int8()),
        }
    )


@pytest.fixture
def given(tmp_path):
    """A maker of specs over tables: `given(table, sources=None, **settings of [objects])`."""

    def make(objects, sources=None, *, output="out", partitions=None, more=None, **settings):
        pq.write_table(objects, tmp_path / "objects.parquet")
        data = {
            "name": "stars",
            "output": str(tmp_path / output),
            "objects": {
                "files": [str(tmp_path / "objects.parquet")],
                "id": "OBJ", "ra": "RAJ2000", "dec": "DEJ2000", **settings,
            },
            "partitions": partitions or {"rows": 40, "highest_order": 5},
        }  # fmt: skip
        if sources is not None:
            pq.write_table(sources, tmp_path / "points.parquet")
            data["sources"] = {
                "files": [str(tmp_path / "points.parquet")], "id": "OBJ", "keep": "listed",
                "columns": {
                    "mjd": {"from": "time", "unit": "d"},
                    "flux": {"from": "fluxcal", "scale": 36.3, "unit": "nJy", "dtype": "float32"},
                    "band": {"from": "passband", "words": {"0": "g", "1": "r", "2": "i"}},
                },
                **(more or {}),
            }  # fmt: skip
        return validated(ImportSpec, data, "test")

    return make


def rows_of(catalog, columns=None):
    parts = [read_partition(catalog.root, p, columns, schema=catalog.schema) for p in catalog.partitions()]
    return pa.concat_tables(parts)


def kind_of(error):
    return error.value.kind


def test_rows_ids_and_positions_are_conserved_exactly(given):
    table = stars()
    catalog = import_catalog(given(table))
    out = rows_of(catalog).sort_by("OBJ")
    assert out.num_rows == catalog.rows == N
    assert out["OBJ"].equals(table.sort_by("OBJ")["OBJ"])
    assert out["ra"].equals(table.sort_by("OBJ")["RAJ2000"])
    assert catalog.id_column == "OBJ"
    assert check_catalog(catalog, full=True).ok


def test_hats_and_lsdb_take_the_result_for_theirs(given):
    from hats.io.validation import is_valid_catalog

    catalog = import_catalog(given(stars()))
    assert is_valid_catalog(catalog.root, strict=True)
    assert len(catalog.to_lsdb().compute(progress_bar=False)) == N


def test_rows_are_sorted_by_healpix_and_then_id(given):
    table = stars()
    same = pa.array(np.full(N, 120.5))
    table = table.set_column(1, "RAJ2000", same).set_column(2, "DEJ2000", pa.array(np.full(N, -3.0)))
    out = rows_of(import_catalog(given(table)))
    assert out["OBJ"].to_pylist() == sorted(table["OBJ"].to_pylist())


def test_sentinels_become_nulls_and_units_are_in_every_file(given):
    columns = {
        "mag": {"null_values": [-99.0], "unit": "mag", "ucd": "phot.mag", "description": "brightness"},
        "flag": {"null_values": [99]},
    }
    table = stars()
    catalog = import_catalog(given(table, columns=columns))
    out = rows_of(catalog)
    assert out["mag"].null_count == table["mag"].to_pylist().count(-99.0) > 0
    assert out["flag"].null_count == table["flag"].to_pylist().count(99) > 0
    files = [f"{catalog.root}/{p.files[0]}" for p in catalog.partitions()]
    for file in [*files, f"{catalog.root}/dataset/_common_metadata"]:
        metadata = pq.read_schema(file).field("mag").metadata
        assert (metadata[b"unit"], metadata[b"ucd"], metadata[b"description"]) == (
            b"mag", b"phot.mag", b"brightness",
        )  # fmt: skip


def test_listed_columns_only_and_renamed(given):
    catalog = import_catalog(given(stars(), keep="listed", columns={"g_mag": {"from": "mag"}}))
    assert catalog.schema.names == ["_healpix_29", "OBJ", "ra", "dec", "g_mag"]


def test_light_curves_are_nested_in_time_order_and_no_point_is_lost(given):
    objects, sources = stars(), points(stars())
    catalog = import_catalog(given(objects, sources))
    out = rows_of(catalog)
    by_id = {row["OBJ"]: row["lc"] for row in out.to_pylist()}
    assert sum(len(lc["mjd"]) for lc in by_id.values()) == sources.num_rows
    assert any(len(lc["mjd"]) == 0 for lc in by_id.values())
    words = {0: "g", 1: "r", 2: "i"}
    expected = {}
    for row in sources.sort_by("time").to_pylist():
        flux = np.float32(np.float64(np.float32(row["fluxcal"])) * 36.3)
        expected.setdefault(row["OBJ"], []).append((row["time"], flux, words[row["passband"]]))
    for object_id, lc in by_id.items():
        found = list(zip(lc["mjd"], np.float32(lc["flux"]), lc["band"], strict=True))
        assert found == expected.get(object_id, [])
    assert next(c for c in catalog.columns if c.name == "lc.flux").unit == "nJy"


def test_buckets_of_ids_give_the_same_catalog_as_one(given, monkeypatch):
    objects, sources = stars(), points(stars())
    one = import_catalog(given(objects, sources, output="one"))
    monkeypatch.setattr(staging, "_BUCKET_BYTES", 20_000)
    many = import_catalog(given(objects, sources, output="many"))
    assert rows_of(one).equals(rows_of(many))


def test_names_as_ids_survive_buckets_too(given, monkeypatch):
    monkeypatch.setattr(staging, "_BUCKET_BYTES", 5_000)
    objects, sources = stars(), points(stars())
    named = [t.set_column(0, "OBJ", t["OBJ"].cast(pa.string())) for t in (objects, sources)]
    out = rows_of(import_catalog(given(*named)))
    assert set(out["OBJ"].to_pylist()) == {str(i) for i in objects["OBJ"].to_pylist()}
    assert sum(len(lc["mjd"]) for lc in out["lc"].to_pylist()) == sources.num_rows


def test_the_same_input_gives_the_same_bytes(given):
    objects, sources = stars(), points(stars())
    first, second = (import_catalog(given(objects, sources, output=name)) for name in ("a", "b"))
    assert first.snapshot() == second.snapshot()
    for partition in first.partitions():
        paths = [Path(c.root) / partition.files[0] for c in (first, second)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_crowded_position_makes_one_large_partition(given):
    table = stars()
    ra, dec = table["RAJ2000"].to_numpy().copy(), table["DEJ2000"].to_numpy().copy()
    ra[:200], dec[:200] = 0.5, -43.0
    table = table.set_column(1, "RAJ2000", pa.array(ra)).set_column(2, "DEJ2000", pa.array(dec))
    catalog = import_catalog(given(table, partitions={"rows": 20, "highest_order": 4}))
    assert max(p.rows for p in catalog.partitions()) >= 200
    assert catalog.rows == N
    assert check_catalog(catalog).ok


def test_a_byte_threshold_cuts_finer_than_none(given):
    coarse = import_catalog(given(stars(), output="a", partitions={"rows": 10_000}))
    fine = import_catalog(given(stars(), output="b", partitions={"bytes": 1_000}))
    assert len(fine.partitions()) > len(coarse.partitions())


def test_a_row_number_names_rows_that_have_no_id(given):
    table = stars().drop_columns(["OBJ"])
    catalog = import_catalog(given(table, id=None, row_number="row"))
    out = rows_of(catalog).sort_by("row")
    assert out["row"].to_pylist() == list(range(N))
    assert out["ra"].equals(table["RAJ2000"])


@pytest.mark.parametrize(
    ("column", "value"),
    [("RAJ2000", 370.0), ("RAJ2000", -10.0), ("RAJ2000", 360.0), ("RAJ2000", math.nan),
     ("RAJ2000", math.inf), ("RAJ2000", None), ("DEJ2000", 95.0), ("DEJ2000", -math.inf)],
)  # fmt: skip
def test_a_bad_position_is_refused_with_count_and_rows_and_nothing_is_written(given, tmp_path, column, value):
    table = stars()
    values = table[column].to_pylist()
    values[7] = values[11] = value
    table = table.set_column(table.schema.get_field_index(column), column, pa.array(values, pa.float64()))
    with pytest.raises(DataError, match=f"2 of {N} rows.*{table['OBJ'][7]}") as caught:
        import_catalog(given(table))
    assert kind_of(caught) is ErrorKind.BAD_POSITION
    assert sorted(p.name for p in tmp_path.iterdir()) == ["objects.parquet"]


def test_wrapping_right_ascension_is_done_only_when_asked_for(given):
    table = stars()
    wrapped = np.where(table["RAJ2000"].to_numpy() >= 180, table["RAJ2000"].to_numpy() - 360, table["RAJ2000"])
    wrapped[0] = 360.0
    catalog = import_catalog(given(table.set_column(1, "RAJ2000", pa.array(wrapped)), wrap_ra=True))
    ra = rows_of(catalog)["ra"].to_numpy()
    assert ra.min() >= 0
    assert ra.max() < 360
    assert check_catalog(catalog).ok


@pytest.mark.parametrize("with_points", [False, True])
def test_duplicate_ids_are_refused_with_count_and_the_first(given, tmp_path, with_points):
    table = stars()
    ids = table["OBJ"].to_numpy().copy()
    ids[5] = ids[6] = ids[9]
    sources = points(table) if with_points else None
    with pytest.raises(DataError, match=str(ids[9])) as caught:
        import_catalog(given(table.set_column(0, "OBJ", pa.array(ids)), sources))
    assert kind_of(caught) is ErrorKind.DUPLICATE_ID
    assert not (tmp_path / "out").exists()


def test_points_without_an_object_are_an_error_unless_the_spec_drops_them(given):
    objects = stars()
    sources = points(objects)
    lost = sources["OBJ"][0].as_py()
    kept = objects.filter(pa.array([i != lost for i in objects["OBJ"].to_pylist()]))
    count = sources["OBJ"].to_pylist().count(lost)
    with pytest.raises(DataError, match=f"{count} points.*{lost}") as caught:
        import_catalog(given(kept, sources))
    assert kind_of(caught) is ErrorKind.BAD_ROW
    catalog = import_catalog(given(kept, sources, more={"orphans": "drop"}))
    assert sum(len(lc["mjd"]) for lc in rows_of(catalog)["lc"].to_pylist()) == sources.num_rows - count


def test_ids_stored_as_floats_are_refused(given):
    table = stars()
    with pytest.raises(SpecError, match="2\\^53") as caught:
        import_catalog(given(table.set_column(0, "OBJ", table["OBJ"].cast(pa.float64(), safe=False))))
    assert kind_of(caught) is ErrorKind.COLUMN_TYPE


def test_rows_without_an_id_are_refused(given):
    table = stars()
    ids = table["OBJ"].to_pylist()
    ids[3] = None
    with pytest.raises(DataError, match="1 rows have no 'OBJ'"):
        import_catalog(given(table.set_column(0, "OBJ", pa.array(ids, pa.uint64()))))


def test_an_empty_table_is_refused(given):
    with pytest.raises(DataError, match="no rows"):
        import_catalog(given(stars()[:0]))


def test_an_unknown_band_is_refused_by_value(given):
    objects = stars()
    sources = points(objects)
    bands = pa.array([7, *sources["passband"].to_pylist()[1:]], pa.int8())
    with pytest.raises(DataError, match="holds 7"):
        import_catalog(given(objects, sources.set_column(3, "passband", bands)))


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"ra": "RA2000"}, "RAJ2000"), ({"id": "OBj"}, "OBJ"), ({"columns": {"m": {"from": "magg"}}}, "mag")],
)
def test_a_misspelt_input_column_is_answered_with_the_close_one(given, settings, match):
    with pytest.raises(SpecError, match=match) as caught:
        import_catalog(given(stars(), **settings))
    assert kind_of(caught) is ErrorKind.UNKNOWN_COLUMN


def test_a_file_whose_types_differ_is_refused_by_name_and_column(given, tmp_path):
    spec = given(stars())
    table = stars(seed=3)
    other = table.set_column(3, "mag", table["mag"].cast(pa.float64()))
    pq.write_table(other, tmp_path / "zz.parquet")
    files = (*spec.objects.files, str(tmp_path / "zz.parquet"))
    with pytest.raises(DataError, match=r"zz\.parquet.*'mag'") as caught:
        import_catalog(spec.model_copy(update={"objects": spec.objects.model_copy(update={"files": files})}))
    assert kind_of(caught) is ErrorKind.SCHEMA_DRIFT


def test_an_import_never_overwrites(given, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("data")
    with pytest.raises(SpecError, match="never overwrites") as caught:
        import_catalog(given(stars()))
    assert kind_of(caught) is ErrorKind.ALREADY_EXISTS
    assert (tmp_path / "out" / "precious").read_text() == "data"


def test_an_empty_directory_is_a_fine_place(given, tmp_path):
    (tmp_path / "out").mkdir()
    assert import_catalog(given(stars())).rows == N


def test_a_killed_import_leaves_nothing_at_the_target(given, tmp_path):
    spec = given(stars(), partitions={"rows": 1, "highest_order": 6})
    (tmp_path / "spec.json").write_text(spec.model_dump_json(by_alias=True))
    code = (
        "import sys; from skyloom.catalog.ingest import ImportSpec, import_catalog;"
        f"import_catalog(ImportSpec.model_validate_json(open({str(tmp_path / 'spec.json')!r}).read()))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and not list(tmp_path.glob(".out.importing-*/stars/dataset/**/*.parquet")):
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "out").exists()
    assert import_catalog(given(stars())).rows == N


def test_fits_with_masks_and_hours_imports(tmp_path):
    table = Table(
        {
            "name": ["a", "b", "c"],
            "h": [5, 5, 0], "m": [40, 28, 0], "s": [51.37, 51.55, 0.0],
            "dd": np.array([-70.0, -0.0, 0.0]), "dm": [13, 12, 30], "ds": [58.78, 0.0, 0.0],
            "mag": MaskedColumn([17.5, 99.0, 18.0], mask=[0, 1, 0]),
        }
    )  # fmt: skip
    table.write(tmp_path / "t.fits")
    data = {
        "name": "t", "output": str(tmp_path / "out"),
        "objects": {
            "files": [str(tmp_path / "t.fits")], "id": "name", "ra": ["h", "m", "s"], "ra_unit": "hour",
            "dec": ["dd", "dm", "ds"], "keep": "listed", "columns": {"mag": {}},
        },
    }  # fmt: skip
    out = rows_of(import_catalog(validated(ImportSpec, data, "test"))).sort_by("name")
    np.testing.assert_allclose(
        out["ra"], [15 * (5 + 40 / 60 + 51.37 / 3600), 15 * (5 + 28 / 60 + 51.55 / 3600), 0]
    )
    np.testing.assert_allclose(out["dec"], [-(70 + 13 / 60 + 58.78 / 3600), -0.2, 0.5])
    assert out["mag"].to_pylist() == [17.5, None, 18.0]


@pytest.mark.parametrize("sign", ["-", "+"])
def test_the_sign_of_zero_degrees_comes_from_its_own_column_or_from_text(tmp_path, sign):
    (tmp_path / "t.csv").write_text(f"id,ra,sgn,d,m,s,text\n1,10,{sign},0,30,0,{sign}00:30:00\n")
    base = {"files": [str(tmp_path / "t.csv")], "id": "id", "keep": "listed", "columns": {"sgn": {}}}
    for n, dec in enumerate(({"dec": ["d", "m", "s"], "dec_sign": "sgn"}, {"dec": "text"})):
        spec = {"name": "t", "output": str(tmp_path / f"out{n}"), "objects": base | dec}
        out = rows_of(import_catalog(validated(ImportSpec, spec, "test")))
        assert out["dec"].to_pylist() == [-0.5 if sign == "-" else 0.5]


def test_an_import_file_finds_its_tables_beside_itself_and_from_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE_STARS_ARE", str(tmp_path))
    pq.write_table(stars(), tmp_path / "stars.parquet")
    for n, files in enumerate(("stars.parquet", "${WHERE_STARS_ARE}/st*.parquet")):
        (tmp_path / "spec.toml").write_text(
            f'name = "stars"\n[objects]\nfiles = ["{files}"]\nid = "OBJ"\nra = "RAJ2000"\ndec = "DEJ2000"\n'
        )
        spec = load_import_spec(tmp_path / "spec.toml", output=str(tmp_path / f"out{n}"))
        assert import_catalog(spec).rows == N


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ('name = "s"\n[objects]\nfiles = ["x"]\nrra = "a"', ErrorKind.UNKNOWN_KEY, "ra"),
        ('name = "s"\n[objects]\nfiles = []', ErrorKind.BAD_PARAMETER, "files"),
        ('name = "a/b"\n[objects]\nfiles = ["x"]', ErrorKind.BAD_PARAMETER, "name"),
        ('name = "s"\n[objects]\nfiles=["x"]\n[objects.columns.m]\ndtype="flaot"', ErrorKind.COLUMN_TYPE, "flaot"),
        (
            'name = "s"\n[objects]\nfiles=["x"]\n[sources]\nfiles=["y"]\nid="i"',
            ErrorKind.BAD_PARAMETER,
            "objects.id",
        ),
    ],
)
def test_a_wrong_import_file_is_refused_before_anything_is_read(tmp_path, text, kind, match):
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(SpecError, match=match) as caught:
        load_import_spec(tmp_path / "spec.toml")
    assert kind_of(caught) is kind


def test_a_missing_input_is_named(given):
    spec = given(stars())
    gone = spec.objects.model_copy(update={"files": ("/no/such/stars.fits",)})
    with pytest.raises(NotFoundError, match=r"stars\.fits"):
        import_catalog(spec.model_copy(update={"objects": gone}))


def test_an_output_that_is_no_local_directory_is_refused(given):
    for output in ("", "s3://bucket/stars"):
        with pytest.raises(SpecError, match="local directory"):
            import_catalog(given(stars()).model_copy(update={"output": output}))


def test_what_the_spec_says_of_the_whole_is_in_the_description(given):
    spec = given(stars()).model_copy(
        update={"licence": "CC-BY-4.0", "citation": "Somebody 2020", "title": "Stars"}
    )
    found = open_catalog(import_catalog(spec).root).describe()
    assert (found.licence, found.citation, found.title) == ("CC-BY-4.0", "Somebody 2020", "Stars")


def test_a_table_with_nested_light_curves_imports_as_it_is(tmp_path):
    table = objects(60)
    pq.write_table(table, tmp_path / "nested.parquet")
    data = {
        "name": "n", "output": str(tmp_path / "out"),
        "objects": {"files": [str(tmp_path / "nested.parquet")], "id": "object_id"},
        "partitions": {"rows": 10, "highest_order": 5},
    }  # fmt: skip
    catalog = import_catalog(validated(ImportSpec, data, "test"))
    assert rows_of(catalog).select(table.column_names).equals(table)
    assert next(c for c in catalog.columns if c.name == "lc.flux").unit == "nJy"


def test_a_csv_column_without_any_value_stays_a_column_of_nulls(tmp_path):
    (tmp_path / "t.csv").write_text("id,ra,dec,empty\n1,10,20,\n2,11,21,\n")
    data = {
        "name": "t",
        "output": str(tmp_path / "out"),
        "objects": {"files": [str(tmp_path / "t.csv")], "id": "id"},
    }
    out = rows_of(import_catalog(validated(ImportSpec, data, "test")))
    assert out["empty"].null_count == 2


def test_points_cannot_take_the_name_of_a_column(given):
    table = stars()
    with pytest.raises(SpecError, match="'mag' already") as caught:
        import_catalog(given(table, points(table), more={"column": "mag"}))
    assert kind_of(caught) is ErrorKind.BAD_NAME


def test_an_import_listens_on_loopback_only_and_leaves_no_client_behind(given, monkeypatch):
    import distributed
    import psutil
    from hats_import.catalog import run_import

    seen, run = [], run_import.run

    def looking(arguments, client):
        connections = psutil.Process().net_connections()
        seen.extend(c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN)
        return run(arguments, client)

    before = {c.laddr for c in psutil.Process().net_connections()}
    monkeypatch.setattr(run_import, "run", looking)
    import_catalog(given(stars()))
    assert set(seen) - {address.ip for address in before} <= {"127.0.0.1", "::1"}
    assert not distributed.Client._instances or distributed.client._get_global_client() is None


def test_what_hats_import_said_is_in_the_error_and_nothing_is_kept(given, tmp_path, monkeypatch):
    from hats_import.catalog import run_import

    def fails(arguments, client):
        print("OSError: [Errno 28] No space left on device")
        raise RuntimeError("Some splitting stages failed. See above Exceptions.")

    monkeypatch.setattr(run_import, "run", fails)
    with pytest.raises(StoreFullError, match="No space left"):
        import_catalog(given(stars()))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["objects.parquet"]
