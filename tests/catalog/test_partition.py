"""Reading partitions: the worker's side."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog, read_partition
from skyloom.catalog.files import read_footer
from skyloom.catalog.partition import scan_partition
from skyloom.engine import rows_digest
from skyloom.errors import ConflictError, DataError, ErrorKind, SpecError
from tiny_catalogs import SCHEMA, objects, write_hats


def first_file(root):
    catalog = open_catalog(root)
    partition = max(catalog.partitions(), key=lambda p: p.rows)
    return catalog, partition, root / partition.files[0]


def test_all_partitions_together_are_the_table_that_was_written(shared_tiny_catalog):
    catalog = open_catalog(shared_tiny_catalog)
    parts = [read_partition(catalog.root, p, None, schema=catalog.schema) for p in catalog.partitions()]
    assert pa.concat_tables(parts).equals(objects())


def test_dotted_columns_read_just_these_fields_of_the_struct(shared_tiny_catalog):
    catalog, partition, _ = first_file(shared_tiny_catalog)
    rows = read_partition(catalog.root, partition, ["lc.flux", "object_id", "lc.mjd"], schema=catalog.schema)
    whole = read_partition(catalog.root, partition, None)
    assert rows.column_names == ["lc", "object_id"]
    assert [field.name for field in rows.schema.field("lc").type] == ["mjd", "flux"]
    assert rows["object_id"].equals(whole["object_id"])
    for field in ("mjd", "flux"):
        one = [lc[field] for lc in rows["lc"].to_pylist()]
        assert one == [lc[field] for lc in whole["lc"].to_pylist()]


def bands(table):
    return [lc and lc["band"] for lc in table["lc"].to_pylist()]


@pytest.mark.parametrize("row_group_size", [None, 7])
def test_labels_as_codes_are_the_same_labels_whatever_the_row_groups(tiny_catalog, row_group_size):
    catalog, partition, path = first_file(tiny_catalog())
    pq.write_table(pq.read_table(path), path, row_group_size=row_group_size)
    partition = scan_partition(catalog.root, partition.order, partition.npix, partition.files)
    texts = read_partition(catalog.root, partition, ["lc.band", "lc.mjd", "object_id"])
    codes = read_partition(
        catalog.root, partition, ["lc.band", "lc.mjd", "object_id"], labels_as_codes=True, use_threads=False
    ).combine_chunks()
    assert pa.types.is_dictionary(codes.schema.field("lc").type.field("band").type.value_type)
    assert bands(codes) == bands(texts)
    assert codes["object_id"].equals(texts["object_id"])
    assert rows_digest(codes, codes.column_names) == rows_digest(texts, texts.column_names)
    assert any(bands(texts))


def test_labels_that_a_file_has_as_texts_stay_texts(tiny_catalog):
    catalog, partition, path = first_file(tiny_catalog())
    pq.write_table(pq.read_table(path), path, use_dictionary=False)
    partition = scan_partition(catalog.root, partition.order, partition.npix, partition.files)
    read = read_partition(catalog.root, partition, ["lc.band"], labels_as_codes=True)
    assert read.equals(read_partition(catalog.root, partition, ["lc.band"]))


def test_units_of_fields_come_along(shared_tiny_catalog):
    catalog, partition, _ = first_file(shared_tiny_catalog)
    rows = read_partition(catalog.root, partition, ["lc.flux"], schema=catalog.schema)
    assert rows.schema.field("lc").type.field("flux").metadata[b"unit"] == b"nJy"


def test_a_list_of_structs_reads_as_a_struct_of_lists(tmp_path):
    table = objects(40)
    as_structs = pa.array(
        [
            None if not lc["mjd"] else [{"mjd": t, "mag": f} for t, f in zip(lc["mjd"], lc["flux"], strict=True)]
            for lc in table["lc"].to_pylist()
        ],
        pa.list_(pa.struct([("mjd", pa.float64()), ("mag", pa.float32())])),
    )
    root = write_hats(tmp_path / "lists", table.set_column(table.num_columns - 1, "lc", as_structs))
    catalog = open_catalog(root)
    assert [c.name for c in catalog.columns if c.parent == "lc"] == ["lc.mjd", "lc.mag"]
    for partition in catalog.partitions():
        rows = read_partition(catalog.root, partition, ["lc.mag", "object_id"], schema=catalog.schema)
        whole = read_partition(catalog.root, partition, ["lc"], schema=catalog.schema)
        expected = [None if lc is None else [point["mag"] for point in lc] for lc in whole["lc"].to_pylist()]
        assert [lc and lc["mag"] for lc in rows["lc"].to_pylist()] == expected


def test_a_partition_in_several_files_reads_in_the_order_of_their_names(tmp_path):
    table = objects()
    catalog = open_catalog(write_hats(tmp_path / "dirs", table, npix_suffix="/"))
    assert all(len(p.files) == 2 for p in catalog.partitions())
    parts = [read_partition(catalog.root, p, None, schema=catalog.schema) for p in catalog.partitions()]
    assert pa.concat_tables(parts).equals(table)


def test_a_partition_without_rows_is_fine(tiny_catalog):
    catalog, partition, path = first_file(tiny_catalog())
    pq.write_table(pq.read_table(path, partitioning=None)[:0], path)
    empty = scan_partition(catalog.root, partition.order, partition.npix, partition.files)
    rows = read_partition(catalog.root, empty, ["object_id", "lc.mjd"], schema=catalog.schema)
    assert empty.rows == rows.num_rows == 0


@pytest.mark.parametrize("layout", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_another_arrow_layout_of_strings_is_converted_and_not_refused(tmp_path, layout):
    table = objects(30).select(["_healpix_29", "object_id", "ra", "dec"])
    names = pa.array([f"n{i}" for i in range(30)])
    catalog = open_catalog(write_hats(tmp_path / "c", table.append_column("name", names)))
    path = tmp_path / "c" / catalog.partitions()[0].files[0]
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.set_column(4, "name", rows["name"].cast(layout)), path)
    again = open_catalog(tmp_path / "c")
    read = read_partition(again.root, again.partitions()[0], ["name"], schema=again.schema)
    assert read.schema.field("name").type == pa.string()
    assert read["name"].to_pylist() == rows["name"].to_pylist()


def test_a_file_that_changed_since_planning_is_refused_by_name(tiny_catalog):
    catalog, partition, path = first_file(tiny_catalog())
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows[:-1], path)
    with pytest.raises(ConflictError, match=path.name) as caught:
        read_partition(catalog.root, partition, ["ra"])
    assert caught.value.kind is ErrorKind.SNAPSHOT_CHANGED


@pytest.mark.parametrize("keep", [0, 3, 500])
def test_a_truncated_file_is_refused_by_path(tiny_catalog, keep):
    catalog, partition, path = first_file(tiny_catalog())
    path.write_bytes(path.read_bytes()[:keep])
    for read in (lambda: read_partition(catalog.root, partition, ["ra"]), open_catalog(catalog.root).partitions):
        with pytest.raises(DataError, match=path.name) as caught:
            read()
        assert caught.value.kind is ErrorKind.BAD_FILE


def test_a_footer_of_garbage_is_refused_by_path(tiny_catalog):
    catalog, _, path = first_file(tiny_catalog())
    data = bytearray(path.read_bytes())
    data[-200:-8] = b"\xff" * 192
    path.write_bytes(data)
    with pytest.raises(DataError, match=path.name) as caught:
        open_catalog(catalog.root).partitions()
    assert caught.value.kind is ErrorKind.BAD_FILE


def test_a_missing_file_is_refused_by_path(tiny_catalog):
    catalog, partition, path = first_file(tiny_catalog())
    path.unlink()
    with pytest.raises(DataError, match=path.name) as caught:
        read_partition(catalog.root, partition, ["ra"])
    assert caught.value.kind is ErrorKind.NO_SUCH_FILE


def test_a_damaged_page_is_found_by_its_checksum(tiny_catalog):
    root = tiny_catalog()
    catalog, partition, path = first_file(root)
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    column = pq.read_metadata(path).row_group(0).column(SCHEMA.get_field_index("ra"))
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 3] ^= 1
    path.write_bytes(data)
    again = open_catalog(root)
    damaged = next(p for p in again.partitions() if p.key == partition.key)
    with pytest.raises(DataError, match=path.name) as caught:
        read_partition(catalog.root, damaged, ["ra"])
    assert caught.value.kind is ErrorKind.BAD_FILE


@pytest.mark.parametrize("change", ["type", "missing", "nested"])
def test_schema_drift_names_file_and_column(tiny_catalog, change):
    catalog, _, path = first_file(tiny_catalog())
    table = pq.read_table(path, partitioning=None)
    column = "mwebv"
    if change == "type":
        table = table.set_column(table.schema.get_field_index(column), column, table[column].cast(pa.float32()))
    elif change == "missing":
        table = table.drop_columns([column])
    else:
        column = "lc"
        lists = [table["lc"].combine_chunks().field(i) for i in range(4)]
        struct = pa.StructArray.from_arrays(lists, names=["mjd", "flux", "flux_err", "band"])
        table = table.set_column(table.schema.get_field_index("lc"), "lc", struct)
    pq.write_table(table, path)
    partition = max(open_catalog(catalog.root).partitions(), key=lambda p: p.rows)
    with pytest.raises(DataError, match=column) as caught:
        read_partition(catalog.root, partition, None, schema=catalog.schema)
    assert caught.value.kind is ErrorKind.SCHEMA_DRIFT
    assert path.name in caught.value.message


@pytest.mark.parametrize("name", ["mwbev", "lc.fluxx"])
def test_a_misspelt_column_is_answered_with_the_close_one(shared_tiny_catalog, name):
    catalog, partition, _ = first_file(shared_tiny_catalog)
    with pytest.raises(SpecError, match=r"mwebv|lc\.flux") as caught:
        read_partition(catalog.root, partition, [name], schema=catalog.schema)
    assert caught.value.kind is ErrorKind.UNKNOWN_COLUMN


def test_a_worker_that_reads_imports_neither_pandas_nor_hats():
    code = (
        "import sys; import skyloom.catalog.partition;"
        "print([m for m in ('pandas', 'hats', 'lsdb', 'pydantic', 'astropy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 127, 128, 8191, 8192, 70_000])
def test_the_bytes_of_a_footer_state_what_parsing_it_gives_and_nothing_else(tmp_path, rows):
    path = tmp_path / "rows.parquet"
    long = "sha256:" + "0" * 200
    table = pa.table({"x": pa.array(range(rows), pa.int64())}).replace_schema_metadata(
        {"skyloom.key": long, "b": ""}
    )
    pq.write_table(table, path, row_group_size=50_000)
    footer = read_footer(str(path))
    assert footer.metadata().num_rows == rows
    assert footer.states(rows, {"skyloom.key": long, "b": ""})
    assert not any(footer.states(other, {}) for other in (rows + 1, rows - 1, 2 * rows + 1) if other >= 0)
    for wrong in ({"skyloom.key": long + "0"}, {"skyloom.key": long[:-1]}, {"key": long}, {"b": "0"}, {"c": ""}):
        assert not footer.states(rows, wrong)
