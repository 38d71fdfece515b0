"""A processor with no sky in it: doubles a number, and fails as it is told to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pyarrow as pa

from skyloom.engine import Computed, Fault, Plan, Task, rows_digest

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
    """Settings: `journal` (where executions are noted), `wait_s`, and what to do at which partition."""

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
