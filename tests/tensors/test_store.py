"""A store gives back what was put in, row for row, or says which rows it cannot."""

from __future__ import annotations

import errno
import itertools
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.errors import ConflictError, DataError, NotFoundError, SpecError, StoreFullError
from skyloom.tensors import (
    CODECS,
    CORRUPT,
    MISSING,
    Cutouts,
    Layout,
    PartitionWriter,
    Statement,
    check_store,
    create_store,
    first_difference,
    key_arrays,
    keys_digest,
    open_tensors,
)
from tensor_stores import CHUNK, KEY, SHAPE, damaged, fill, layout_of, sample, shard_of


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_goes_in_comes_out_bit_for_bit(tmp_path, codec, dtype):
    values, keys = sample(53)
    store = fill(tmp_path, layout_of(codec=codec, dtype=dtype), values, keys)
    found = store.read(KEY, 0, 53)
    np.testing.assert_array_equal(found.values, values.astype(dtype))
    assert isinstance(store, Cutouts)
    assert not found.faults.any()


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 53), min_size=2, max_size=5).map(sorted))
def test_slices_are_the_whole(tmp_path_factory, cuts):
    values, keys = sample(53)
    root = tmp_path_factory.getbasetemp() / "slices"
    store = open_tensors(root) if root.exists() else fill(root, layout_of(), values, keys)
    partition = store.open_partition(KEY)
    parts = [partition.read(a, b).values for a, b in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), values[cuts[0] : cuts[-1]])


def test_appended_in_any_portions_the_bytes_are_the_same(tmp_path):
    values, keys = sample(53)
    stores = [fill(tmp_path / str(step), layout_of(), values, keys, step=step) for step in (1, 7, 53)]
    assert len({store.digest(store.statements([KEY])) for store in stores}) == 1


def test_an_empty_partition_is_finished_and_empty(tmp_path):
    values, keys = sample(0)
    store = fill(tmp_path, layout_of(), values, keys)
    assert store.read(KEY, 0, 0).values.shape == (0, *SHAPE)
    assert check_store(store, [(KEY, keys)]) == ([], 0)


def test_coverage_is_the_fraction_of_pixels_with_data(tmp_path):
    values, keys = sample(5)
    values[1, 0, : SHAPE[1] // 2] = np.nan
    values[2] = np.nan
    values[3, 1, 0, 0] = np.inf
    found = fill(tmp_path, layout_of(), values, keys).read(KEY, 0, 5)
    np.testing.assert_allclose(found.coverage[:3], [[1, 1], [0.5, 1], [0, 0]])
    assert np.isnan(found.values[3, 1, 0, 0])
    assert found.coverage[3, 1] < 1


def test_row_keys_come_back_exactly_also_beyond_the_floats_and_as_texts():
    table = pa.table({"id": [2**62 + 1, 2**62 + 2], "name": ["ZTF18a", "ü"], "ra": [0.1, 359.9]})
    keys = key_arrays(table, ["id", "name", "ra"])
    assert keys["id"].tolist() == [2**62 + 1, 2**62 + 2]
    assert first_difference(keys, keys) == ""
    other = key_arrays(table.set_column(1, "name", pa.array(["ZTF18a", "u"])), ["id", "name", "ra"])
    assert keys_digest(keys) != keys_digest(other)
    assert first_difference(keys, other).startswith("row 1 is name=ü in the store and name=u in the catalog")
    with pytest.raises(DataError, match="1 nulls"):
        key_arrays(pa.table({"id": [1, None]}), ["id"])


def test_misaligned_rows_are_refused_with_partition_row_and_both_keys(tmp_path):
    values, keys = sample(53)
    store = fill(tmp_path, layout_of(), values, keys)
    swapped = {"id": keys["id"].copy()}
    swapped["id"][[10, 20]] = swapped["id"][[20, 10]]
    with pytest.raises(DataError, match=rf"{KEY}: row 10 is id=10 in the store and id=20.*2 of 53 rows differ"):
        store.check_keys(KEY, swapped)
    with pytest.raises(DataError, match="53 rows and the catalog 52"):
        store.check_keys(KEY, {"id": keys["id"][:52]})
    store.check_keys(KEY, keys)


def test_a_corrupt_chunk_costs_its_own_rows_only(tmp_path):
    values, keys = sample(53)
    store = fill(tmp_path, layout_of(), values, keys)
    damaged(store, "flip", chunk=2)
    bad = slice(2 * CHUNK, 3 * CHUNK)
    found = store.read(KEY, 0, 53)
    assert (found.faults[bad] == CORRUPT).all()
    assert not np.delete(found.faults, np.r_[bad]).any()
    assert np.isnan(found.values[bad]).all()
    assert not found.coverage[bad].any()
    np.testing.assert_array_equal(np.delete(found.values, np.r_[bad], 0), np.delete(values, np.r_[bad], 0))
    assert {f.kind for f in check_store(store, [(KEY, keys)])[0]} == {"file-changed", "chunk-corrupt"}


def test_a_chunk_that_the_index_does_not_have_is_missing_not_a_fill_value(tmp_path):
    values, keys = sample(53)
    store = fill(tmp_path, layout_of(), values, keys)
    damaged(store, "unlist", chunk=1)
    found = store.read(KEY, 0, 53)
    assert (found.faults[CHUNK : 2 * CHUNK] == MISSING).all()
    assert found.faults.sum() == MISSING * CHUNK
    assert not found.coverage[CHUNK : 2 * CHUNK].any()
    assert "chunk-missing" in {f.kind for f in check_store(store, [(KEY, keys)])[0]}


def test_a_shard_that_is_gone_is_missing_and_one_cut_short_is_corrupt(tmp_path):
    values, keys = sample(53)
    per_shard = layout_of().shard_rows
    for name, harm, fault in (("gone", lambda p: p.unlink(), MISSING), ("cut", cut_short, CORRUPT)):
        store = fill(tmp_path / name, layout_of(), values, keys)
        harm(shard_of(store, 0))
        found = store.read(KEY, 0, 53)
        assert (found.faults[:per_shard] == fault).all()
        assert not found.faults[per_shard:].any()
        np.testing.assert_array_equal(found.values[per_shard:], values[per_shard:])


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_an_empty_shard_file_is_corrupt(tmp_path):
    values, keys = sample(53)
    store = fill(tmp_path, layout_of(), values, keys)
    shard_of(store, 0).write_bytes(b"")
    assert (store.read(KEY, 0, 53).faults[: layout_of().shard_rows] == CORRUPT).all()


def test_coverage_that_is_lost_is_counted_again(tmp_path):
    values, keys = sample(10)
    values[3] = np.nan
    store = fill(tmp_path, layout_of(), values, keys)
    shutil.rmtree(tmp_path / KEY / "coverage")
    assert store.read(KEY, 0, 10).coverage[:, 0].tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]


def test_arrays_of_another_shape_than_the_store_says_are_refused(tmp_path):
    values, keys = sample(10)
    store = fill(tmp_path / "a", layout_of(), values, keys)
    other = fill(tmp_path / "b", layout_of(shape=(2, 4, 4)), values[..., :4, :4], keys)
    shutil.rmtree(tmp_path / "a" / KEY / "values")
    shutil.copytree(tmp_path / "b" / KEY / "values", tmp_path / "a" / KEY / "values")
    with pytest.raises(DataError, match=r"float32\(10, 2, 4, 4\), and the store says float32\(10, 2, 6, 6\)"):
        store.read(KEY, 0, 10)
    assert other.read(KEY, 0, 10).values.shape == (10, 2, 4, 4)


def test_a_store_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(NotFoundError, match="skyloom cutouts make"):
        open_tensors(tmp_path / "nowhere")
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(DataError, match="no group of a tensor store"):
        open_tensors(tmp_path)


def test_a_partition_is_invisible_until_committed_and_a_failure_leaves_nothing(tmp_path):
    values, keys = sample(53)
    layout = layout_of()
    store = create_store(tmp_path, layout)
    with PartitionWriter(store, layout, KEY, keys) as writer:
        writer.append(values[:50])
        with pytest.raises(NotFoundError, match="no partition"):
            open_tensors(tmp_path).statement(KEY)
        with pytest.raises(DataError, match="53 rows and was given 50"):
            writer.commit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["zarr.json"]


def test_a_full_disk_is_said_so_and_leaves_nothing(tmp_path, monkeypatch):
    import zarr

    values, keys = sample(53)
    layout = layout_of()
    store = create_store(tmp_path, layout)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreFullError), PartitionWriter(store, layout, KEY, keys) as writer:
        monkeypatch.setattr(zarr.Array, "__setitem__", full)
        writer.append(values)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["zarr.json"]
    assert fill(tmp_path, layout, values, keys).read(KEY, 0, 53).faults.sum() == 0


def test_of_two_writers_of_one_partition_the_first_stays(tmp_path):
    values, keys = sample(10)
    first = fill(tmp_path, layout_of(), values, keys)
    before = first.statement(KEY).digest
    again = fill(tmp_path, layout_of(), values, keys)
    assert again.statement(KEY).digest == before
    assert not list(tmp_path.glob(".tmp-*"))


def test_another_request_does_not_go_into_the_same_place(tmp_path):
    create_store(tmp_path, layout_of())
    create_store(tmp_path, layout_of())
    with pytest.raises(ConflictError, match=r"shape: \(2, 4, 4\) and \(2, 6, 6\)"):
        create_store(tmp_path, layout_of(shape=(2, 4, 4)))


def test_values_beyond_half_precision_are_refused_rather_than_made_infinite(tmp_path):
    values, keys = sample(3)
    values[1, 0, 0, 0] = 1e6
    with pytest.raises(DataError, match=r"1e\+06 does not fit into float16"):
        fill(tmp_path, layout_of(dtype="float16"), values, keys)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"shape": (6,)}, "a row is"),
        ({"shape": (2, 0, 6)}, "positive lengths"),
        ({"bands": ("g",)}, "1 bands"),
        ({"codec": "blosc-lz"}, "did you mean 'blosc-lz4'"),
        ({"dtype": "float64"}, "no dtype"),
        ({"shard_rows": 9}, "no multiple"),
        ({"pixel_arcsec": 0.0}, "positive"),
    ],
)
def test_a_layout_refuses_nonsense(wrong, said):
    with pytest.raises(SpecError, match=said):
        layout_of(**wrong)


def test_layouts_and_statements_survive_their_json():
    layout = layout_of(bands=("g", "r"), pixel_arcsec=0.25, origin={"images": 3})
    assert Layout.from_json(layout.to_json(), where="x") == layout
    statement = Statement(3, "sha256:0", 1, {"values/c/0": (10, "xxh3:1")})
    assert Statement.from_json(statement.to_json(), where="x") == statement
    newer = json.loads(layout.to_json())
    newer["attributes"]["skyloom"]["format"] = 99
    with pytest.raises(DataError, match="update skyloom"):
        Layout.from_json(json.dumps(newer).encode(), where="x")


def test_chunks_and_shards_are_chosen_by_bytes():
    small, large = (
        layout_of(shape=(1, 8, 8), chunk_rows=0, shard_rows=0),
        layout_of(shape=(5, 512, 512), chunk_rows=0, shard_rows=0),
    )
    assert large.chunk_rows == 1
    assert small.chunk_rows * small.row_bytes <= 2 << 20 < (small.chunk_rows + 1) * small.row_bytes
    assert small.shard_rows % small.chunk_rows == large.shard_rows % large.chunk_rows == 0
