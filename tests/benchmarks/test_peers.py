"""The race against peers: what it compares and what it writes down; the loops of our own really run."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmarks.peers.curves.contest import JOB as CURVES
from tests.benchmarks.peers.meter import Used
from tests.benchmarks.peers.page import write_section
from tests.benchmarks.peers.plain import KEYS, partitions_of
from tests.benchmarks.peers.race import HAND, MEMORY, OURS, Result, files_of, run, table_of
from tests.benchmarks.peers.table.contest import JOB as TABLE


@pytest.mark.parametrize("job", [TABLE, CURVES], ids=["table", "curves"])
def test_the_hand_written_loop_does_the_whole_job(job, tmp_path):
    taken = run(job, 400, rounds=1, peers=None, only=(HAND,), keep=tmp_path)
    (result,) = taken[HAND]
    assert result.rows == 400
    assert 0 <= result.ready_s < result.done_s


def test_rows_that_are_lost_or_wrong_end_the_race(tmp_path):
    given = TABLE.make(tmp_path, 400)
    paths = partitions_of(given)
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    keys = pa.concat_tables([pq.ParquetFile(path).read(list(KEYS)) for path in paths])
    out = tmp_path / "out"
    out.mkdir()
    columns = {f"y{i}": np.zeros(rows, np.float32) for i in range(4)}
    table = pa.table([*keys.columns, *map(pa.array, columns.values())], names=[*KEYS, *columns])
    pq.write_table(table, out / "rows.parquet")
    with pytest.raises(AssertionError, match="tolerance"):
        TABLE.compare(out, given)
    pq.write_table(table[1:], out / "rows.parquet")
    with pytest.raises(AssertionError):
        TABLE.compare(out, given)


def test_of_a_catalog_only_partitions_are_rows(tmp_path):
    for name in ("dataset/Norder=0/Dir=0/Npix=3.parquet", "dataset/data_thumbnail.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"a": [1]}), path)
    assert [name.rpartition("/")[2] for name in files_of(tmp_path)] == ["Npix=3.parquet"]


def test_ratios_are_taken_within_rounds():
    def result(wall_s, cpu_s):
        return Result(100, Used(wall_s, cpu_s, 10**6, ""), 0.5, wall_s)

    taken = {HAND: [result(1.0, 2.0), result(4.0, 8.0)], OURS: [result(2.0, 2.0), result(4.0, 16.0)]}
    _, hand, ours = table_of(taken)
    assert hand[3].startswith("1.00")
    assert ours[3] == "0.75 (0.50 to 1.00)"
    assert ours[4] == "0.75 (0.50 to 1.00)"


def test_a_section_of_the_page_is_replaced_and_others_stay(tmp_path):
    page = tmp_path / "benchmarks.md"
    for name, job, cell in (("table", TABLE, "alpha"), ("curves", CURVES, "beta"), ("table", TABLE, "gamma")):
        write_section(page, name, job, 400, 1, [("who",), (cell,)], peers=None)
    text = page.read_text()
    assert "alpha" not in text
    assert text.index("gamma") < text.index("beta")
    assert text.count("## ") == 2


def test_every_job_has_the_contestants_that_others_are_held_against():
    for job in (TABLE, CURVES):
        assert {MEMORY, HAND, OURS} <= set(job.contestants)
        assert set(job.rows) == {"small", "large"}
