"""Guarded tasks, seen from a worker: handed to a host process whose death costs the worker nothing."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from types import MappingProxyType

from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task
from skyloom.errors import ErrorKind, PartitionError
from skyloom.places import module_path

__all__ = ["LANES", "Host", "run_guarded"]

LANES = 3
"""Hosts per worker: while one waits for a row that hangs, the others compute."""
ATTEMPTS = 2
"""How often a task may lose its host, which has to read it and to write its output."""
SILENCE = 10.0
"""Multiple of the shortest deadline after which a host that says nothing is killed."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""A pool of threads does not survive a fork."""

_IDLE: list[tuple[str, Host]] = []
_LOCK = threading.Lock()


class Host:
    """A host process for one work.

    Parameters
    ----------
    description : str
        `Work.to_json`.
    memory_bytes : int or None
        Memory of this worker.
    isolated : bool
        Whether rows are computed by children of the process, which they may kill.
    environment : mapping of str to str
        Variables that it gets beside those of this process.
    """

    def __init__(
        self,
        description: str,
        memory_bytes: int | None,
        *,
        isolated: bool = True,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "skyloom.engine.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment, **ONE_THREAD, "PYTHONPATH": module_path()},
            start_new_session=True,  # Ctrl-C in a terminal is for the driver
        )
        self._say({"work": description, "memory_bytes": memory_bytes, "isolated": isolated})
        self._rest = b""

    def _say(self, line: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()

    def run(self, task: Task, silence_s: float) -> Outcome | str:
        """Do one task; return its outcome, or how the host ended."""
        try:
            self._say(asdict(task))
            while True:
                line = self._line(silence_s)
                if line is None:
                    self.close()
                    return f"said nothing for {silence_s:.0f} s"
                if not line:
                    break
                found = json.loads(line)
                if "outcome" in found:
                    return Outcome(**found["outcome"])
        except OSError:
            pass
        self.close()
        code = self._process.returncode
        return f"ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"

    def _line(self, silence_s: float) -> bytes | None:
        """Return the next line; nothing at the end; None if there is none for too long."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([descriptor], [], [], silence_s)[0]:
                return None
            more = os.read(descriptor, 1 << 16)
            if not more:
                return b""
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def close(self) -> None:
        """End the process, and its children with it."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def run_guarded(
    work_id: str, description: str, tasks: Sequence[Task], *, memory_bytes: int | None, deadline_s: float
) -> list[Outcome]:
    """Do tasks in host processes.

    Parameters
    ----------
    description : str
        `Work.to_json`.
    memory_bytes : int or None
        Memory of this worker.
    deadline_s : float
        `Limits.deadline_s` of the work.
    """

    def run(task: Task) -> Outcome:
        how = ""
        for _ in range(ATTEMPTS):
            host = _taken(work_id) or Host(description, memory_bytes)
            found = host.run(task, SILENCE * deadline_s)
            if isinstance(found, Outcome):
                with _LOCK:
                    _IDLE.append((work_id, host))
                return found
            how = found
        msg = f"the process that was to read, compute and write partition {task.key} alone {how}"
        return Outcome.of_error(task, PartitionError(msg, kind=ErrorKind.BAD_PARTITION, key=task.key))

    if len(tasks) == 1:
        return [run(tasks[0])]
    with ThreadPoolExecutor(LANES) as lanes:
        return list(lanes.map(run, tasks))


def _taken(work_id: str) -> Host | None:
    """Return an idle host of this work; those of other works end."""
    with _LOCK:
        others = [host for known, host in _IDLE if known != work_id]
        _IDLE[:] = [(known, host) for known, host in _IDLE if known == work_id]
        mine = _IDLE.pop()[1] if _IDLE else None
    for host in others:
        host.close()
    return mine


@atexit.register
def _close_all() -> None:
    while _IDLE:
        _IDLE.pop()[1].close()
