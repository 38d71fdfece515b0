"""A published version is what it was, or `verify` says which file is not."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.engine import Journal, expire, partition_file, plan_expiry, rows_digest, verify
from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.storage import LocalStore
from tests.engine import toy
from tests.engine.finished import DAMAGE, finish, flip, truncate

KEY = "Norder=1/Dir=0/Npix=2"
PLAN = toy.plan(4, faulty=[1])


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path / "layers")
    finish(PLAN, store)
    return store


@pytest.fixture
def journal(store):
    return Journal(store, "toy", PLAN.job_id)


def said(store, **how):
    return [str(difference) for difference in verify(store, "toy", **how).differences]


def test_a_whole_version_has_no_differences(store):
    found = verify(store, "toy")
    assert found.ok
    assert (found.partitions, found.rows) == (4, 40)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["dataset", "records"])
def test_a_damaged_partition_or_record_is_named_and_the_others_are_not(store, journal, damage, kind):
    name = journal.data(KEY) if kind == "dataset" else journal.record(KEY)
    DAMAGE[damage](store.path(name))
    found = verify(store, "toy")
    assert {d.key for d in found.differences} == {KEY}
    assert {d.file for d in found.differences} == {name}
    assert found.partitions == 4, "it goes on after a difference"


def test_every_flipped_bit_of_a_data_file_is_found(store, journal):
    path = store.path(journal.data(KEY))
    whole = path.read_bytes()
    places = random.Random(0).sample(range(len(whole)), 60)
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << random.Random(place).randrange(8)
        path.write_bytes(bytes(data))
        assert any(str(d.file) == journal.data(KEY) for d in verify(store, "toy").differences), place


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name", ["manifest.json", "manifest.parquet", "provenance.json", "job.json", "partition_info.csv"]
)
def test_a_damaged_small_file_is_named(store, journal, damage, name):
    DAMAGE[damage](store.path(journal.name(name)))
    found = verify(store, "toy")
    assert {d.file for d in found.differences} == {journal.name(name)}


@pytest.mark.parametrize("at", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("version", [1, 2])
def test_a_changed_reference_is_noticed(store, at, version):
    finish(toy.plan(4, identity={"model": "newer"}), store, agreed=1)
    flip(store.path(f"toy/refs/v{version:08d}.json"), at)
    assert any(line.startswith("toy/refs") or "is missing" in line or "digest" in line for line in said(store))


def test_a_version_before_a_broken_reference_can_still_be_looked_at(store):
    finish(toy.plan(4, identity={"model": "newer"}), store, agreed=1)
    truncate(store.path("toy/refs/v00000002.json"))
    found = verify(store, "toy", 1)
    assert found.partitions == 4
    assert {d.file for d in found.differences} == {"toy/refs"}


def test_a_file_of_another_job_is_noticed_by_its_footer(store, journal):
    other = toy.plan(4, identity={"model": "other"})
    finish(other, store, agreed=1)
    path = store.path(journal.data(KEY))
    path.write_bytes(store.read(Journal(store, "toy", other.job_id).data(KEY)))
    assert any(f"says job_id='{other.job_id}'" in line for line in said(store, version=1))


def test_values_changed_together_with_a_consistent_record_are_noticed(store, journal):
    path = store.path(journal.data(KEY))
    table = pq.read_table(path, partitioning=None)
    footer = partition_file.inspect(path.read_bytes(), where="").footer
    forged = table.set_column(1, table.schema.field(1), pa.array([0.0] * 10))
    with path.open("wb") as file:
        partition_file.write(file, forged, {**footer, "columns": rows_digest(forged, forged.column_names)})
    assert any("published as sha256:" in line for line in said(store))


def test_a_stray_file_that_a_reader_of_the_directory_would_take_is_named(store, journal):
    path = store.path(journal.name("dataset", "Norder=1", "Dir=0", "Npix=99.parquet"))
    path.write_bytes(store.read(journal.data(KEY)))
    assert said(store) == [f"{journal.data('Norder=1/Dir=0/Npix=99')}: is not listed in the manifest"]


def test_row_keys_are_compared_with_the_base_catalog_partition_by_partition(store):
    def keys(entry, names):
        assert tuple(names) == ("id",)
        n = int(entry.key.rpartition("=")[2])
        if n == 0:
            raise DataError("no such file", kind=ErrorKind.NO_SUCH_FILE)
        ids = range(n * 10, n * 10 + 10) if n != 3 else range(10)
        return rows_digest(pa.table({"id": pa.array(ids, pa.int64())}), ["id"])

    found = verify(store, "toy", base_keys=keys)
    assert [d.key for d in found.differences] == ["Norder=1/Dir=0/Npix=0", "Norder=1/Dir=0/Npix=3"]
    assert "cannot be compared with the base catalog" in found.differences[0].message
    assert "other row keys (id) than the base catalog" in found.differences[1].message


def test_a_version_that_does_not_exist_or_has_expired_is_said(store):
    with pytest.raises(NotFoundError, match="has no version 7"):
        verify(store, "toy", 7)
    finish(toy.plan(4, identity={"model": "newer"}), store, agreed=1)
    expire(store, plan_expiry(store, "toy", keep=1))
    with pytest.raises(NotFoundError) as caught:
        verify(store, "toy", 1)
    assert caught.value.kind == ErrorKind.EXPIRED


def test_verifying_writes_nothing(store):
    before = {path: path.stat().st_mtime_ns for path in store.path("toy").rglob("*")}
    verify(store, "toy")
    assert {path: path.stat().st_mtime_ns for path in store.path("toy").rglob("*")} == before
