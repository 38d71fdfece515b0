"""Child processes of the fault tests: cheap ones for one call, and Dask processes to kill.

The cheap ones are forked from a server that has imported what they need and done nothing
else, so that hundreds of them can be killed in a minute.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from skyloom.cluster import ClusterSpec
from skyloom.engine import InProcessExecutor, Journal, Plan, history, publish, run_plan, seal
from skyloom.errors import ConflictError, TransientError
from skyloom.storage import LocalStore
from tests.engine.finished import FACE, PROVENANCE, in_process

__all__ = ["AGAIN", "CONFLICT", "CONTEXT", "InProcessExecutor", "Outside", "drive", "run_child", "start_child"]

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.engine.finished", "tests.engine.toy", "tests.faults.processors"])
AGAIN, CONFLICT = 75, 4
"""Exit codes: run the same again; somebody else published meanwhile."""
PATIENCE_S = 300.0


def drive(
    plan: Plan,
    root: str,
    *,
    environment: Mapping[str, str] | None = None,
    together: Any = None,
    before_publish: Any = None,
    agreed: int | None = None,
    executor: Callable[..., Any] = in_process,
    group_tasks: int | None = None,
) -> None:
    """Run, seal and publish a plan as a process of its own; see `AGAIN` and `CONFLICT`.

    `together` and `before_publish` are barriers.
    """
    os.environ.update(environment or {})
    logging.disable(logging.WARNING)
    store = LocalStore(root)
    if together is not None:
        together.wait()
    agreed = len(history(store, plan.layer)) if agreed is None else agreed
    try:
        summary = run_plan(plan, store, executor, group_tasks=group_tasks)
        journal = Journal(store, plan.layer, plan.job_id)
        manifest = seal(journal, plan, summary.records, face=FACE, provenance=PROVENANCE)
        if before_publish is not None:
            before_publish.wait()
        publish(journal, manifest, agreed=agreed)
    except ConflictError:
        sys.exit(CONFLICT)
    except TransientError as error:
        sys.stderr.write(f"{error.message}\n" if "SKYLOOM_LOUD" in os.environ else "")
        sys.exit(AGAIN)


def start_child(target: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Start a function in a child of its own."""
    child = CONTEXT.Process(target=target, args=arguments, kwargs=options)
    child.start()
    return child


def run_child(target: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """Run a function in a child of its own, and return its exit code (-9: killed)."""
    child = start_child(target, *arguments, **options)
    child.join(PATIENCE_S)
    if child.exitcode is None:
        child.kill()
        child.join()
    return int(child.exitcode)


def environment(**more: str) -> dict[str, str]:
    """Return what a Python process of ours needs to find the package and the tests."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **more}


class Outside:
    """A Dask scheduler and workers with nannies as processes of their own, to be killed or stopped.

    Parameters
    ----------
    folder : Path
        For scratch files.
    workers : int
    worker_ttl : str
        Silence after which the scheduler gives a worker up.
    """

    def __init__(self, folder: Path, *, workers: int = 2, worker_ttl: str = "120s") -> None:
        self.folder, self.n_workers = folder, workers
        self.environment = environment(
            DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0",
            DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION="1.0",
            DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL=worker_ttl,
            DASK_TEMPORARY_DIRECTORY=str(folder),
        )
        self.processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> Outside:
        try:
            self.begin()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Start scheduler and nannies; does not wait for the workers."""
        contact = self.folder / f"scheduler-{time.monotonic_ns()}.json"
        options = "--host 127.0.0.1 --port 0 --dashboard-address 127.0.0.1:0 --no-show --scheduler-file"
        self._launch("dask_scheduler", *options.split(), str(contact))
        until = time.monotonic() + 120
        while not (contact.exists() and contact.read_text().endswith("}")):
            if time.monotonic() > until:
                raise TimeoutError("the scheduler did not start")
            time.sleep(0.05)
        self.address = json.loads(contact.read_text())["address"]
        options = "--nthreads 1 --nanny --host 127.0.0.1 --dashboard-address 127.0.0.1:0"
        for _ in range(self.n_workers):
            self._launch("dask_worker", self.address, *options.split())

    def _launch(self, module: str, *words: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *words]
        self.processes.append(
            subprocess.Popen(
                command, env=self.environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        )  # fmt: skip

    @property
    def spec(self) -> ClusterSpec:
        """The cluster for `skyloom.cluster.start`."""
        return ClusterSpec(kind="scheduler", address=self.address)

    @property
    def scheduler(self) -> subprocess.Popen[bytes]:
        """The scheduler's process."""
        return self.processes[0]

    def families(self) -> list[list[psutil.Process]]:
        """Return each nanny's process with its children, of which one is the worker."""
        found = []
        for nanny in self.processes[1:]:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(nanny.pid)
                found.append([process, *process.children(recursive=True)])
        return found

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes that there are now."""
        return [p for family in self.families() for p in family[1:2] + family[2:] if _is_worker(p)]

    def end(self) -> None:
        """Kill all of it, stopped processes too."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False
