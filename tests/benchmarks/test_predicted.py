"""The benchmark of predictions: it really prices and runs the job that it compares."""

from tests.benchmarks.peers.plain import CORES
from tests.benchmarks.peers.table.data import make
from tests.benchmarks.predicted import compared


def test_a_price_has_the_rows_and_the_bytes_of_the_run(tmp_path):
    cost, used, written = compared("table", make(tmp_path, 4000), tmp_path / "out", partitions=2)
    assert cost.rows == 4000
    assert 0.8 < cost.written_bytes / written < 1.25
    assert cost.on(CORES).wall_s > 0
    assert used.cpu_s > 0
