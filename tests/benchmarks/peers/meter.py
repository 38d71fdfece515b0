"""What a command takes: wall clock, CPU and memory of it and of every process that it starts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

__all__ = ["Used", "metered"]

ORPHANS_S = 3.0
"""How long to wait, after a command has ended, for processes of it that have not: their time counts too."""
PR_SET_CHILD_SUBREAPER = 36
TICK_S = 0.1
"""Time between two looks at the processes: more would take the time of a core itself."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one run took."""

    wall_s: float
    cpu_s: float
    """Of all processes: of those waited for, or by the last looks at all, if that is more."""
    peak_bytes: int
    """Largest sum of resident memory at one time; what processes share counts once for each."""
    output: str
    """What it printed."""
    largest_bytes: int = 0
    """Largest resident memory of any one of its processes."""


def metered(command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float) -> Used:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        If it fails or takes longer than `timeout_s`; with the end of what it said.
    """
    with _adopting():
        return _metered(command, environment, timeout_s=timeout_s)


def _metered(command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float) -> Used:
    before, started = _waited_s(), time.perf_counter()
    process = subprocess.Popen(
        list(command), env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    known: dict[int, psutil.Process] = {process.pid: psutil.Process(process.pid)}
    cpu_s: dict[int, float] = {}
    peak = largest = 0
    output: list[str] = []
    reader = _reader(process, output)
    while process.poll() is None:
        total, one = _look(known, cpu_s)
        peak, largest = max(peak, total), max(largest, one)
        if time.perf_counter() - started > timeout_s:
            for each in known.values():
                with contextlib.suppress(psutil.Error):
                    each.kill()
            process.wait()
            raise RuntimeError(f"{command[0]} took longer than {timeout_s:.0f} s:\n{''.join(output)[-2000:]}")
        time.sleep(TICK_S)
    wall_s = time.perf_counter() - started
    _wait_for_orphans(known)
    reader.join(timeout=5)
    text = "".join(output)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{text[-3000:]}")
    return Used(wall_s, max(sum(cpu_s.values()), _waited_s() - before), peak, text, largest)


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Be, on Linux, the parent of processes whose parent ends, so that they can be waited for."""

    def say(word: int) -> None:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, word)

    say(1)
    try:
        yield
    finally:
        say(0)


def _wait_for_orphans(known: Mapping[int, psutil.Process]) -> None:
    """Wait for processes that outlive the command for a moment, so that all of their time is known."""
    end = time.monotonic() + ORPHANS_S
    left = set(known)
    while left and time.monotonic() < end:
        for pid in tuple(left):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                ended = True
            if ended:
                left.discard(pid)
        time.sleep(TICK_S / 10)


def _reader(process: subprocess.Popen[str], output: list[str]) -> object:
    from threading import Thread

    def read() -> None:
        assert process.stdout is not None
        output.extend(process.stdout)

    thread = Thread(target=read, daemon=True)
    thread.start()
    return thread


def _waited_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _look(known: dict[int, psutil.Process], cpu_s: dict[int, float]) -> tuple[int, int]:
    """Note the CPU time of every process known, find their children; return memory of all and of the largest."""
    for process in psutil.process_iter(["ppid"]):
        if process.info["ppid"] in known:
            known.setdefault(process.pid, process)
    total = largest = 0
    for pid, process in known.items():
        with contextlib.suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            cpu_s[pid] = times.user + times.system
            resident = process.memory_info().rss
            total, largest = total + resident, max(largest, resident)
    return total, largest
