"""A processor with no sky in it: doubles a number, and fails as it is told to."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import time
from pathlib import Path

import pyarrow as pa

from skyloom.engine import Computed, Fault, Limits, Piece, Plan, Task, rows_digest

SCHEMA = pa.schema(
    [pa.field("id", pa.int64()), pa.field("double", pa.float64()), pa.field("toy_flag", pa.uint32())]
)
ROWS = 10


def plan(
    n_tasks: int = 6, *, identity: dict | None = None, layer: str = "toy", fail_on_bad_row=False, **settings
) -> Plan:
    """A plan over `n_tasks` partitions of ten rows."""
    return Plan(
        layer=layer,
        identity={"version": 1, **(identity or {})},
        schema=SCHEMA,
        row_keys=("id",),
        tasks=tuple(Task(f"Norder=1/Dir=0/Npix={i}", ROWS, 100, f"sha256:{i:064d}") for i in range(n_tasks)),
        entry="tests.engine.toy:Toy",
        settings=settings,
        fail_on_bad_row=fail_on_bad_row,
    )


def number(task: Task) -> int:
    return int(task.key.rpartition("=")[2])


class Toy:
    """Settings: `journal` (a directory where executions are noted), `wait_s`, and misdeeds by partition."""

    def __init__(self, settings) -> None:
        self.settings = settings

    def process(self, task: Task) -> Computed:
        n = number(task)
        self._note(task)
        time.sleep(self.settings.get("wait_s", 0))
        self._misbehave(n, task)
        ids = pa.array(range(n * ROWS, (n + 1) * ROWS), pa.int64())
        keys = rows_digest(pa.table({"id": ids}), ["id"])
        ids = ids.take(pa.array([1, 0, *range(2, ROWS)])) if n in self.settings.get("shuffle", ()) else ids
        values = pa.array([2.0 * i.as_py() for i in ids], pa.float64())
        if n in self.settings.get("narrow", ()):
            values = values.cast(pa.float32())
        faults = [Fault(3, "raised", "no such star")] if n in self.settings.get("faulty", ()) else []
        flags = pa.array([1 << 24 if any(f.row == i for f in faults) else 0 for i in range(ROWS)], pa.uint32())
        table = pa.table(
            [ids, values, flags],
            schema=SCHEMA if n not in self.settings.get("narrow", ()) else None,
            names=None if n not in self.settings.get("narrow", ()) else SCHEMA.names,
        )
        return Computed(
            table.slice(0, ROWS - (n in self.settings.get("drop", ()))), keys, faults, "toy_flag", {"model": 0.01}
        )

    def _note(self, task: Task) -> None:
        if "journal" in self.settings:
            with Path(self.settings["journal"], str(os.getpid())).open("a") as file:
                file.write(task.key + "\n")

    def _misbehave(self, n: int, task: Task) -> None:
        if n in self.settings.get("raise", ()):
            raise ValueError(f"poison in {task.key}")
        if n in self.settings.get("kill", ()):
            os.kill(os.getpid(), signal.SIGKILL)
        if n in self.settings.get("flaky", ()):
            marker = Path(self.settings["journal"], f"flaky-{n}")
            if not marker.exists():
                marker.touch()
                raise OSError("network away")


def executions(folder: Path) -> list[str]:
    """Every execution noted, once per time it happened."""
    return [line for path in sorted(folder.iterdir()) if path.name.isdigit() for line in path.read_text().split()]


def poisoned(n_tasks: int, poison: dict[int, str], *, rows: int = ROWS, limits: Limits | None = None, **settings):
    """A plan over `n_tasks` partitions of `rows` rows, of which those in `poison` do what it says.

    Settings: `row_s` (CPU seconds per row), `slow` (the same for some rows), `unreadable`, and `left_out`
    (ids of rows that are null without being computed).
    """
    return Plan(
        layer="toy",
        identity={"version": 1},
        schema=SCHEMA,
        row_keys=("id",),
        tasks=tuple(Task(f"Norder=1/Dir=0/Npix={i}", rows, 100, f"sha256:{i:064d}") for i in range(n_tasks)),
        entry="tests.engine.toy:Poisoned",
        settings={"rows": rows, "poison": {str(i): kind for i, kind in poison.items()}, **settings},
        limits=limits or Limits(),
    )


class Poisoned:
    """A processor whose tasks can be split; see `poisoned`."""

    def __init__(self, settings) -> None:
        self.settings = settings

    def split(self, task: Task) -> PoisonedRows:
        if self.settings.get("unreadable"):
            raise MemoryError
        return PoisonedRows(self.settings, number(task) * self.settings["rows"], task.rows)


class PoisonedRows:
    flag_column = "toy_flag"

    def __init__(self, settings, first: int, rows: int) -> None:
        self.settings, self.first = settings, first
        self.row_keys = rows_digest(pa.table({"id": pa.array(range(first, first + rows), pa.int64())}), ["id"])

    def compute(self, start: int, stop: int) -> Piece:
        ids = range(self.first + start, self.first + stop)
        out = self.settings.get("left_out", ())
        values, flags, faults = [], [], []
        for i in ids:
            try:
                values.append(None if i in out else self._value(i))
                flags.append(0)
            except ValueError as error:
                row = i - self.first
                faults.append(Fault(row, "ValueError", str(error), self.input_digest(row)))
                values.append(None)
                flags.append(FLAGS["ValueError"])
        return Piece(_rows(ids, values, flags), faults)

    def _value(self, i: int) -> float:
        end = time.thread_time() + self.settings.get("slow", {}).get(str(i), self.settings.get("row_s", 0))
        while time.thread_time() < end:
            pass
        poison(self.settings["poison"].get(str(i)))
        return math.sin(i)

    def quarantined(self, row: int, cause: str) -> pa.Table:
        return _rows([self.first + row], [None], [FLAGS.get(cause, FLAGS["killed"])])

    def input_digest(self, row: int) -> str:
        return f"sha256:{self.first + row:064d}"


FLAGS = {"ValueError": 1 << 24, "killed": 1 << 26, "timeout": 1 << 27, "memory": 1 << 28}
CAUSES = {
    "raise": "ValueError",
    "system-exit": "SystemExit",
    "segfault": "signal 11",
    "null-pointer": "signal 11",
    "abort": "signal 6",
    "sigkill": "signal 9",
    "exit": "exit 3",
    "exit-0": "exit 0",
    "memory": "memory",
    "greedy": "memory",
    "hang": "timeout",
    "busy": "timeout",
    "gil": "timeout",
}


def _rows(ids, values, flags) -> pa.Table:
    columns = [pa.array(ids, pa.int64()), pa.array(values, pa.float64()), pa.array(flags, pa.uint32())]
    return pa.table(columns, schema=SCHEMA)


def poison(kind: str | None) -> None:  # noqa: PLR0912
    """Do what a bad row does."""
    match kind:
        case "raise":
            raise ValueError("no such star")
        case "system-exit":
            sys.exit(3)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "null-pointer":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "exit-0":
            os._exit(0)
        case "memory":
            bytearray(1 << 42)
        case "greedy":
            _ = [bytearray(os.urandom(1 << 10) * (10 << 10)) for _ in range(1000)]
        case "hang":
            time.sleep(1e6)
        case "busy":
            while True:
                pass
        case "gil":
            ctypes.PyDLL(None).sleep(1_000_000)
