"""Local workers are forked from one process that has imported what all of them need.

It is started while the driver still plans, so its imports (two seconds of CPU with torch) are made once,
beside other work, not by each worker in turn after the scheduler is up. A worker shares that memory,
and dies without taking an interpreter apart.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from skyloom.places import module_path

__all__ = ["CAN_FORK", "changed_since", "fork_ahead"]

CAN_FORK = sys.platform == "linux"
"""Elsewhere, libraries of the system do not survive a fork."""

_STARTED_WITH: dict[str, str] = {}
"""Variables of this process when it started the one that forks; one for each driver, as multiprocessing has it."""


def fork_ahead(imports: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start the process that local workers are forked from, unless this driver has one; does not wait for it.

    Parameters
    ----------
    imports : sequence of str
        Modules that it imports; one that is not installed is passed over. None may start a thread.
    environment : mapping of str to str
        What the allocator and the libraries of all workers read when a process starts.
    """
    if not CAN_FORK:
        return
    from multiprocessing import forkserver, resource_tracker

    resource_tracker.ensure_running()  # the first time, it would let interrupts through again
    if not _STARTED_WITH:
        _STARTED_WITH.update(os.environ)
    forkserver.set_forkserver_preload(["distributed", *imports])
    with _changed(environment), _without_interrupts():
        forkserver.ensure_running()


def changed_since() -> dict[str, str]:
    """Return the variables that this process has set since it started the one that forks: workers need them."""
    if not _STARTED_WITH:
        return {}
    return {name: value for name, value in os.environ.items() if _STARTED_WITH.get(name) != value}


@contextmanager
def _changed(environment: Mapping[str, str]) -> Iterator[None]:
    """Set variables that a process started meanwhile inherits, and put the old ones back."""
    wanted = {**environment, "PYTHONPATH": module_path()}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C, which a terminal sends to all and is for the driver, from what is started meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
