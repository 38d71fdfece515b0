"""A model that does what a test tells it to, in whatever process it runs.

A score is the row's id modulo 1000 times the one number in the weights, so that a score says
which row and which weights it came from.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skyloom.columns import ANY_UNIT, Column
from skyloom.engine import Computed, Task, process
from skyloom.errors import DataError, ErrorKind
from skyloom.jobs import RunReport
from skyloom.jobs.execute import run_planned
from skyloom.jobs.plan import JobPlan, plan_job
from skyloom.jobs.scoring import Scoring
from skyloom.jobs.spec import parse_job
from skyloom.models import registry, weights
from skyloom.models.card import Card
from skyloom.runtime.contract import Inputs

NAME = "probe"
TITLE = "Probe"
FLAGS = ()


@dataclass(frozen=True)
class Config:
    """Rows are named by their ids."""

    raises: tuple[int, ...] = ()
    says: str = "no such star"
    kills: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    """Rows whose partitions fail while the file `blocked_by` exists."""
    blocked_by: str = ""
    wide: bool = False
    """Return float64 where float32 is declared."""


def reads(config):
    return (Column("object_id", "", "id", "int64"), Column("mwebv", ANY_UNIT, "any number", "float64"))


def writes(config):
    return (Column("probe_score", "", "id modulo 1000 times the weight", "float32"),)


def build(config, stored):
    return config, float(stored.arrays["scale"][0])


def inputs(config, rows):
    ids = rows.column("object_id").to_numpy()
    if Path(config.blocked_by).is_file() and np.isin(ids, config.blocks).any():
        raise DataError(config.says.format_map(os.environ), kind=ErrorKind.BAD_FILE)
    n = len(ids)
    return Inputs({"ids": ids}, np.zeros(n, np.uint32), np.ones(n, bool))


def predict(estimator, arrays):
    config, scale = estimator
    if np.isin(arrays["ids"], config.raises).any():
        raise ValueError(config.says.format_map(os.environ))
    if np.isin(arrays["ids"], config.kills).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"probe_score": (arrays["ids"] % 1000 * scale).astype(np.float64 if config.wide else np.float32)}


class Probing(Scoring):
    """The processor of a job, in a process to which nobody has told of this model."""

    def __init__(self, settings) -> None:
        registry._SYSTEMS[NAME] = __name__
        weights.SHIPPED = Path(settings["bundles"])
        super().__init__(settings)


class Meddling:
    """A processor that loses, moves or exchanges rows, as a careless function over a partition does."""

    def __init__(self, settings) -> None:
        self.probing = Probing(settings)

    def process(self, task: Task) -> Computed:
        done = process(self.probing, task)
        return replace(done, table=MEDDLE[self.probing.settings["meddle"]](done.table))


MEDDLE: dict[str, Callable[[pa.Table], pa.Table]] = {
    "dropped": lambda t: t.slice(0, max(0, len(t) - 1)),
    "doubled": lambda t: pa.concat_tables([t, t.slice(0, 1)]),
    "shuffled": lambda t: t.take(pa.array(range(len(t) - 1, -1, -1))),
    "moved": lambda t: t.set_column(t.schema.get_field_index("object_id"), t.schema.field("object_id"),
                                    pa.array([i + 1 for i in t["object_id"].to_pylist()], pa.int64())),
}  # fmt: skip


def write_weights(folder: Path, scale: float, *, size: int = 1) -> None:
    """Write the weights ``one``: the scale, and as many numbers as a large network may have."""
    words = dict.fromkeys(("question", "source", "intended_use", "limits", "command", "evaluate"), "test")
    card = Card(
        name=NAME, variant="one", title=TITLE, licence="BSD-3-Clause", training={"n": 0}, flags={},
        reads=("object_id",), writes=("probe_score",), scores=(), **words,
    )  # fmt: skip
    weights.write_bundle(folder / NAME / "one", card, {"scale": np.full(size, scale)})


@contextmanager
def known(bundles: Path) -> Iterator[None]:
    """Make the model known to this process while it lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._SYSTEMS, NAME, __name__)
        patch.setattr(weights, "SHIPPED", bundles)
        yield


@dataclass(frozen=True)
class Bench:
    """A catalog, weights and a store in one folder, and jobs over them."""

    folder: Path
    catalog: Path

    def __post_init__(self) -> None:
        if not self.bundles.exists():
            write_weights(self.bundles, 1.0)

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"

    @property
    def layers(self) -> Path:
        return self.folder / "layers"

    def job(self, *, layer="scores", settings=None, **sections):
        values = {"job": "probing", "model": NAME, "layer": layer, "model_config": settings or {}, **sections}
        values |= {"input": {"catalog": str(self.catalog)}, "output": {"store": str(self.layers)}}
        return parse_job(values, where="test")

    def plan(self, entry="Probing", *, meddle="", **job) -> JobPlan:
        with known(self.bundles):
            planned = plan_job(self.job(**job))
        plan = planned.plan
        settings = {**plan.settings, "bundles": str(self.bundles), "meddle": meddle}
        return replace(planned, plan=replace(plan, entry=f"{__name__}:{entry}", settings=settings))

    def run(self, cluster, planned: JobPlan | None = None, **job) -> RunReport:
        planned = planned or self.plan(**job)
        with known(self.bundles):
            return run_planned(planned, cluster=cluster, progress=False)
