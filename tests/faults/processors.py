"""Processors that fill a disk, and that note when they end."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from skyloom.engine import Computed, Plan, Task, rows_digest
from tests.engine.toy import SCHEMA, Toy, number, plan

__all__ = ["Noted", "Wide", "noted", "wide", "wide_value"]

WIDE_ROWS = 20_000


def wide(n_tasks: int) -> Plan:
    """A plan whose partitions take about 160 kB each: their values do not compress."""
    return Plan(
        layer="toy",
        identity={"version": 1},
        schema=SCHEMA,
        row_keys=("id",),
        tasks=tuple(Task(f"Norder=1/Dir=0/Npix={i}", WIDE_ROWS, 100, f"sha256:{i:064d}") for i in range(n_tasks)),
        entry="tests.faults.processors:Wide",
        settings={},
    )


def wide_values(n: int) -> np.ndarray:
    return np.random.default_rng(n).random(WIDE_ROWS)


def wide_value(row: int) -> float:
    """The value of a row of `wide`."""
    n = row // WIDE_ROWS
    if n not in _VALUES:
        _VALUES[n] = wide_values(n)
    return float(_VALUES[n][row % WIDE_ROWS])


_VALUES: dict[int, np.ndarray] = {}


class Wide:
    def __init__(self, settings) -> None:
        pass

    def process(self, task: Task) -> Computed:
        n = number(task)
        ids = pa.array(np.arange(n * WIDE_ROWS, (n + 1) * WIDE_ROWS))
        flags = pa.array(np.zeros(WIDE_ROWS, np.uint32))
        table = pa.table([ids, pa.array(wide_values(n)), flags], schema=SCHEMA)
        return Computed(table, rows_digest(table, ["id"]), (), "toy_flag")


def noted(n_tasks: int, folder: Path, *, wait_s: float) -> Plan:
    """A plan like `toy.plan` that notes in `folder` which executions came to their end."""
    from dataclasses import replace

    made = plan(n_tasks, journal=str(folder), wait_s=wait_s)
    return replace(made, entry="tests.faults.processors:Noted")


class Noted(Toy):
    def process(self, task: Task) -> Computed:
        computed = super().process(task)
        with Path(self.settings["journal"], f"ended-{os.getpid()}").open("a") as file:
            file.write(task.key + "\n")
        return computed
