"""Checking a catalog: every kind of damage is found, and named."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from skyloom.catalog import open_catalog
from skyloom.catalog.check import check_catalog
from tiny_catalogs import empty_partition


def spoil(root, change, **options):
    """Rewrite the largest partition; return its key and path."""
    partition = max(open_catalog(root).partitions(), key=lambda p: p.rows)
    path = root / partition.files[0]
    table = change(pq.read_table(path, partitioning=None))
    pq.write_table(table, path, **options)
    return partition.key, path


def replaced(table, name, values):
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def test_a_sound_catalog_has_no_findings(shared_tiny_catalog):
    report = check_catalog(open_catalog(shared_tiny_catalog), full=True)
    assert report.ok
    assert (report.rows, report.partitions) == (240, len(open_catalog(shared_tiny_catalog).pixels))


def test_an_empty_partition_is_sound(tiny_catalog):
    root = tiny_catalog()
    empty_partition(root)
    assert check_catalog(open_catalog(root), full=True).ok


SPOILT = {
    "bad-position": lambda t: replaced(t, "ra", pc.if_else(pc.equal(t["ra"], t["ra"][0]), 370.0, t["ra"])),
    "schema-drift": lambda t: t.drop_columns(["mwebv"]),
    "duplicate-id": lambda t: replaced(t, "object_id", pa.array([t["object_id"][0].as_py()] * len(t))),
    "row-count": lambda t: t[:-1],
}


@pytest.mark.parametrize("kind", SPOILT)
def test_damage_is_found_with_file_and_partition(tiny_catalog, kind):
    root = tiny_catalog()
    key, path = spoil(root, SPOILT[kind])
    report = check_catalog(open_catalog(root))
    assert not report.ok
    found = [f for f in report.findings if f.kind == kind]
    assert len(found) == 1
    if kind not in ("duplicate-id", "row-count"):
        assert found[0].key == key
        assert found[0].file == str(path)


def test_a_changed_type_is_found_with_both_types(tiny_catalog):
    root = tiny_catalog()
    spoil(root, lambda t: t.set_column(7, "mwebv", t["mwebv"].cast(pa.float32())))
    (found,) = check_catalog(open_catalog(root)).findings
    assert "float" in found.message
    assert "double" in found.message


def test_a_row_in_the_wrong_pixel_is_found(tiny_catalog):
    root = tiny_catalog()
    spoil(root, lambda t: replaced(t, "_healpix_29", pc.add(t["_healpix_29"], 1 << 57)))
    messages = [f.message for f in check_catalog(open_catalog(root)).findings]
    assert any("another pixel" in message for message in messages)


def test_an_index_that_is_not_of_its_position_is_found(tiny_catalog):
    root = tiny_catalog()
    spoil(root, lambda t: replaced(t, "dec", pc.add(t["dec"], 0.01)))
    messages = [f.message for f in check_catalog(open_catalog(root)).findings]
    assert any("not that of their ra and dec" in message for message in messages)


@pytest.mark.parametrize("declared", [True, False])
def test_rows_out_of_order_are_found_where_the_file_says_that_it_is_sorted(tiny_catalog, declared):
    root = tiny_catalog()
    options = {"sorting_columns": [pq.SortingColumn(0)]} if declared else {}
    spoil(root, lambda t: t.take(pa.array(range(len(t) - 1, -1, -1))), **options)
    kinds = [f.kind for f in check_catalog(open_catalog(root)).findings]
    assert kinds == (["row-order"] if declared else [])


def test_truncated_and_missing_files_are_found_and_the_rest_is_still_looked_at(tiny_catalog):
    root = tiny_catalog()
    files = [root / p.files[0] for p in open_catalog(root).partitions()]
    files[0].write_bytes(files[0].read_bytes()[:50])
    files[1].unlink()
    findings = check_catalog(open_catalog(root)).findings
    assert [(f.kind, f.file) for f in findings[:2]] == [
        ("bad-file", str(files[0])),
        ("no-such-file", str(files[1])),
    ]
    assert findings[-1].kind == "row-count"
