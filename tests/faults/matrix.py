"""The fault matrix: ``python -m tests.faults.matrix [--only C6,C7] [--repeat 3]``.

One line per fault: how often it was injected, how often survived, and what became of the
rows, counted by `tests.faults.checking` from the published files alone.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.faults.tally import Tally

__all__ = ["ROWS", "Row", "main", "run_row"]


@dataclass(frozen=True)
class Row:
    """One row of the matrix."""

    title: str
    function: str
    """``module:function`` below `tests.faults`; gets a fresh directory."""
    quick: bool = False
    """Whether it takes a few seconds only."""
    on_disk: bool = False
    """Whether its directory must be on a disk, not in memory."""


ROWS = {
    "C1": Row("any schedule (simulator)", "protocol_faults:schedules"),
    "C2": Row("broken protocols are found out", "protocol_faults:mutants"),
    "C3": Row("n-th call or request fails", "protocol_faults:failing_calls"),
    "C4": Row("kill -9 at failpoints", "protocol_faults:failpoints"),
    "C5": Row("order of system calls", "protocol_faults:calls_in_order", quick=True, on_disk=True),
    "C6": Row("workers killed", "cluster_faults:killed_workers"),
    "C7": Row("driver killed, resumed", "cluster_faults:killed_drivers"),
    "C8": Row("scheduler killed", "cluster_faults:killed_scheduler"),
    "C9": Row("two drivers of one job", "driver_faults:two_drivers", quick=True),
    "C10": Row("two jobs publish one layer", "driver_faults:publish_race", quick=True),
    "C11": Row("worker stopped, wakes as zombie", "cluster_faults:zombie"),
    "C12": Row("replacement worker killed too", "cluster_faults:killed_replacement"),
    "C13": Row("poison rows", "driver_faults:poison_rows"),
    "C14": Row("row hangs with the GIL held", "cluster_faults:gil_hang"),
    "C15": Row("store full", "driver_faults:full_store", quick=True),
    "C16": Row("scratch of the workers full", "cluster_faults:full_scratch"),
    "C17": Row("files damaged after commit", "driver_faults:damaged_files", quick=True),
    "C18": Row("input changed", "input_faults:changed_input", quick=True),
    "C19": Row("other model, settings or code", "driver_faults:other_jobs", quick=True),
    "C20": Row("bad inputs", "input_faults:bad_inputs"),
    "C21": Row("TLS and access probes", "input_faults:access_probes"),
    "C22": Row("partitions x batches x threads", "input_faults:determinism"),
    "C23": Row("writers race for names", "protocol_faults:racing_writers", quick=True, on_disk=True),
    "C24": Row("temporary files collected", "driver_faults:collected_files", quick=True),
}
HEADER = (
    f"{'fault':38}{'injected':>9}{'survived':>9}{'rows in':>9}{'rows out':>9}"
    f"{'lost':>6}{'duplicated':>11}{'torn':>6}{'wrong':>6}{'s':>7}"
)


def run_row(name: str) -> tuple[Tally, float]:
    """Run one row in a directory of its own; return its counts and the seconds it took."""
    row = ROWS[name]
    module, _, function = row.function.partition(":")
    call: Callable[[Path], Tally] = getattr(import_module(f"tests.faults.{module}"), function)
    memory = "/dev/shm"  # where fsync costs nothing: thousands of them would measure the disk
    folder = Path(tempfile.mkdtemp(prefix="skyloom-faults-", dir=memory if _usable(memory, row) else None))
    started = time.monotonic()
    try:
        tally = call(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tally, time.monotonic() - started


def _usable(folder: str, row: Row) -> bool:
    return not row.on_disk and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 1 << 30


def line(name: str, tally: Tally, wall_s: float) -> str:
    """Return the line of a row."""
    start = f"{name + ' ' + ROWS[name].title:38}"
    if tally.skipped:
        return f"{start} skipped: {tally.skipped}"
    rows = [str(n) if tally.rows_in else "-" for n in (tally.rows_in, tally.rows_out)]
    return (
        f"{start}{tally.injected:9}{tally.survived:9}{rows[0]:>9}{rows[1]:>9}{tally.lost:6}"
        f"{tally.duplicated:11}{tally.torn:6}{tally.wrong:6}{wall_s:7.1f}"
        f"{'' if tally.ok else '  FAILED'}{f'  ({tally.note})' if tally.note else ''}"
    )


def main(argv: list[str] | None = None) -> int:
    """Return 0 if every fault was survived and no row is amiss."""
    parser = argparse.ArgumentParser(description="Inject every fault of the matrix, and count rows.")
    parser.add_argument("--only", default="", help="rows, such as C6,C7")
    parser.add_argument("--repeat", type=int, default=1, help="how often")
    options = parser.parse_args(argv)
    wanted = [name.strip() for name in options.only.split(",") if name.strip()] or list(ROWS)
    unknown = [name for name in wanted if name not in ROWS]
    if unknown or options.repeat < 1:
        parser.error(f"there is no row {', '.join(unknown)}" if unknown else "--repeat must be at least 1")
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    failed: list[str] = []
    started = time.monotonic()
    for turn in range(options.repeat):
        print(f"run {turn + 1} of {options.repeat}\n{HEADER}" if options.repeat > 1 else HEADER, flush=True)
        for name in wanted:
            try:
                tally, wall_s = run_row(name)
            except Exception:
                traceback.print_exc()
                tally, wall_s = Tally(note="the row itself failed, see above"), 0.0
            print(line(name, tally, wall_s), flush=True)
            failed += [] if tally.ok else [name]
    print(f"{len(wanted) * options.repeat} lines in {time.monotonic() - started:.0f} s, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
