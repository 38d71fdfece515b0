"""A driver as a process of its own: ``python -m tests.faults.driver PLAN.json``.

The file says what to compute, where, and on which cluster; the exit code is that of
`tests.faults.children.drive`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from skyloom.cluster import ClusterSpec, start
from skyloom.engine import Limits, Plan
from skyloom.engine.on_dask import DaskExecutor
from skyloom.errors import TransientError
from tests.engine import toy
from tests.faults.children import AGAIN, drive, environment

__all__ = ["plan_of", "start_driver"]


def plan_of(values: dict[str, Any]) -> Plan:
    """Return the plan that a file states: `toy.plan`, or `toy.poisoned` where there is poison."""
    values = dict(values)
    identity = values.pop("identity", {"version": 1})
    if "poison" not in values:
        return toy.plan(**values, identity=identity)
    values["poison"] = {int(row): kind for row, kind in values["poison"].items()}
    if "limits" in values:
        values["limits"] = Limits(**values["limits"])
    return replace(toy.poisoned(**values), identity=identity)


def start_driver(
    file: Path, plan: dict[str, Any], store: Path, *, cluster: str = "", group_tasks: int = 1
) -> subprocess.Popen[bytes]:
    """Start a driver in a session of its own, on a cluster's address or on one that it starts."""
    stated = {"plan": plan, "store": str(store), "cluster": cluster, "group_tasks": group_tasks}
    file.write_text(json.dumps(stated))
    with file.with_suffix(".err").open("ab") as trouble:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.driver", str(file)],
            env=environment(), stderr=trouble, stdout=trouble, start_new_session=True,
        )  # fmt: skip


def main() -> None:
    """Do what the file says."""
    stated = json.loads(Path(sys.argv[1]).read_text())
    address = stated["cluster"]
    spec = ClusterSpec(kind="scheduler", address=address) if address else ClusterSpec(workers=2, dashboard="")
    try:
        with start(spec) as running:

            @contextmanager
            def executor() -> Iterator[DaskExecutor]:
                yield DaskExecutor(running.client)

            drive(plan_of(stated["plan"]), stated["store"], executor=executor, group_tasks=stated["group_tasks"])
    except TransientError as error:
        print(error.message, file=sys.stderr)
        sys.exit(AGAIN)


if __name__ == "__main__":
    main()
