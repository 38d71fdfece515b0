"""A hand-written loop over the partitions of a HATS catalog."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.peers.plain import CORES, KEYS, arguments, finish, on_every_core, partitions_of, read_ahead

__all__ = ["by_hand", "read", "rows_of"]

Work = Callable[[pa.Table], np.ndarray]
"""From the columns of a partition to what is written, (columns, N)."""


def read(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read keys and columns of one partition."""
    return pq.ParquetFile(path).read(columns=[*KEYS, *columns], use_threads=False)


def by_hand(columns: Sequence[str], names: Sequence[str], make: Callable[[], Work]) -> None:
    """Do a job on every core: read ahead and write in threads; with ``plain`` on the command line, all in turn.

    Parameters
    ----------
    columns : sequence of str
        What is read.
    names : sequence of str
        Of what is written.
    make : callable
        Returns what does the work; called once per process.
    """
    catalog, out = arguments()
    paths = partitions_of(catalog)
    threads = "plain" not in sys.argv
    ready = time.perf_counter()

    def run(core: int) -> None:
        work = make()
        with _thread(threads) as reader, _thread(threads) as writer:
            behind: list[Future[None]] = []
            for path, table in read_ahead(paths[core::CORES], lambda path: read(path, columns), reader):
                job = (out / path.relative_to(catalog), table.select(KEYS), names, work(table))
                if writer is None:
                    _write(*job)
                    continue
                behind.append(writer.submit(_write, *job))
                if len(behind) > 1:
                    behind.pop(0).result()
            for future in behind:
                future.result()

    on_every_core(run)
    finish(rows_of(paths), ready)


def _thread(wanted: bool) -> ThreadPoolExecutor | nullcontext[None]:
    return ThreadPoolExecutor(1) if wanted else nullcontext()


def _write(path: Path, keys: pa.Table, names: Sequence[str], values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table([*keys.columns, *values], names=[*KEYS, *names])
    pq.write_table(table, path, use_dictionary=False, compression="zstd", compression_level=1)


def rows_of(paths: Sequence[Path]) -> int:
    """Return the rows of some files, by their footers."""
    return sum(pq.read_metadata(path).num_rows for path in paths)
