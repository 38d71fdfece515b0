"""A finished store is read from object storage as from a disk, and a network that fails breaks no chunk."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import obstore
import pytest

from skyloom.errors import DataError, NotFoundError, SpecError, TransientError
from skyloom.storage import open_store
from skyloom.tensors import CORRUPT, MISSING, check_store, create_store, open_tensors
from skyloom.tensors.partition import PartitionTensors
from tensor_stores import CHUNK, KEY, damaged, fill, layout_of, sample, shard_of


def copied(root: Path, to: str) -> str:
    """Copy a store to object storage, as any tool would."""
    store = open_store(to)
    for path in sorted(root.rglob("*")):
        if path.is_file():
            store.put_if_absent(path.relative_to(root).as_posix(), path.read_bytes())
    return to


@pytest.fixture
def local(tmp_path):
    values, keys = sample(53)
    values[3] = np.nan
    return fill(tmp_path / "store", layout_of(extras=("psf_fwhm_arcsec",)), values, keys), keys


@pytest.fixture
def memory():
    return f"memory://{uuid.uuid4().hex}/stores/s"


def test_what_was_copied_is_read_bit_for_bit(local, memory):
    store, keys = local
    remote = open_tensors(copied(Path(store.location), memory))
    assert remote.layout == store.layout
    assert remote.digest(remote.statements([KEY, "Norder=0/Dir=0/Npix=1"])) == store.digest(
        store.statements([KEY])
    )
    for here, there in zip(store.read(KEY, 5, 41), remote.read(KEY, 5, 41), strict=True):
        np.testing.assert_array_equal(there, here)
    assert remote.check_keys(KEY, keys) == store.statement(KEY)
    np.testing.assert_array_equal(remote.read_keys(KEY)["id"], keys["id"])
    assert check_store(remote, [(KEY, keys)]) == ([], 53)


@pytest.mark.parametrize(
    ("how", "fault"), [("flip", CORRUPT), ("unlist", MISSING), ("gone", MISSING), ("cut", CORRUPT)]
)
def test_chunks_break_as_on_a_disk(local, memory, how, fault):
    store, _ = local
    shard = shard_of(store, 0)
    if how == "gone":
        shard.unlink()
    elif how == "cut":
        shard.write_bytes(shard.read_bytes()[:100])
    else:
        damaged(store, how, chunk=0)
    found = open_tensors(copied(Path(store.location), memory)).read(KEY, 0, 53)
    assert (found.faults[:CHUNK] == fault).all()
    assert not found.faults[3 * CHUNK :].any()
    assert not found.coverage[found.faults > 0].any()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("HTTP error: status code: 503 Service Unavailable", TransientError),
        ("HTTP error: kind: Timeout", TransientError),
        ("status code: 403 <Code>AccessDenied</Code>", SpecError),
    ],
)
def test_a_store_that_does_not_answer_is_no_broken_chunk(local, memory, monkeypatch, answer, error):
    store, _ = local
    partition = open_tensors(copied(Path(store.location), memory)).open_partition(KEY)
    whole = partition.read(0, 8)

    async def failing(*_, **__):
        raise obstore.exceptions.GenericError(answer)

    monkeypatch.setattr(obstore, "get_range_async", failing)
    with pytest.raises(error):
        partition.read(0, 53)
    monkeypatch.undo()
    np.testing.assert_array_equal(partition.read(0, 8).values, whole.values)


def test_arrays_that_are_not_there_are_said_with_their_place(local, memory):
    store, _ = local
    shutil.rmtree(Path(store.location) / KEY / "psf_fwhm_arcsec")
    shutil.rmtree(Path(store.location) / KEY / "keys")
    remote = open_tensors(copied(Path(store.location), memory))
    with pytest.raises(DataError, match=r"psf_fwhm_arcsec has no readable Zarr metadata"):
        remote.read(KEY, 0, 5)
    with pytest.raises(DataError, match="keys/id has no readable"):
        remote.read_keys(KEY)
    with pytest.raises(NotFoundError, match="no tensor store at memory://"):
        open_tensors(memory + "-other")
    with pytest.raises(NotFoundError, match="has no partition"):
        remote.statement("Norder=0/Dir=0/Npix=1")


def test_a_copy_on_disk_is_read_as_the_store_is_faults_included(local, memory, tmp_path):
    store, _ = local
    damaged(store, "flip", chunk=1)
    shard_of(store, 1).unlink()
    partition = open_tensors(copied(Path(store.location), memory)).open_partition(KEY)
    copy = partition.copied_to(tmp_path / "copy")
    for here, there in zip(partition.read(0, 53), copy.read(0, 53), strict=True):
        np.testing.assert_array_equal(there, here)
    assert {0, CORRUPT, MISSING} == set(copy.read(0, 53).faults.tolist())
    assert copy.store.location == memory
    outside = replace(partition.statement, files={"../../../outside": (1, "xxh3:0")})
    with pytest.raises(SpecError):
        PartitionTensors(partition.store, KEY, outside).copied_to(tmp_path / "deep" / "copy")
    assert not list((tmp_path / "copy").rglob(".tmp-*"))


def test_a_store_is_not_made_on_objects(memory):
    with pytest.raises(SpecError, match="make it in a directory, then copy it there"):
        create_store(memory, layout_of())
