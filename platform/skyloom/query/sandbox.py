"""What the query process takes from itself before it sees any SQL.

DuckDB's own settings are the second wall (the first is `statement`); the operating
system's limits are the third, because DuckDB was seen to ignore its memory limit
(``repeat('x', 2e9)``) and with allowed directories to replace a catalog's file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb

__all__ = ["confine", "connect", "limit_time", "limit_work", "lock"]

# https://docs.kernel.org/userspace-api/landlock.html: numbers are the same on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_NO_NEW_PRIVS = 38
# WRITE_FILE, REMOVE_DIR, REMOVE_FILE, MAKE_CHAR .. MAKE_SYM; REFER came with version 2, TRUNCATE with 3.
_WRITES = {1: 0b1111111110010, 2: 1 << 13, 3: 1 << 14}
_TCP = 0b11


def confine() -> None:
    """Give up writing files, core dumps and the network; for good.

    Where the kernel has Landlock, opening any file for writing fails, and so does any
    connection; elsewhere the limit on file size alone stops writes.
    """
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            _landlock()


def _landlock() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return
    files = sum(bits for since, bits in _WRITES.items() if version >= since)
    rules = (ctypes.c_uint64 * 2)(files, _TCP if version >= 4 else 0)
    ruleset = libc.syscall(_LANDLOCK_CREATE, rules, 16 if version >= 4 else 8, 0)
    if ruleset >= 0:
        libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)


def limit_time(wall_s: float) -> None:
    """End two seconds after `wall_s`: the parent kills then, and this is for a parent that died."""
    # The default action ends even a process in C code.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, wall_s + 2.0)


def limit_work(connection: duckdb.DuckDBPyConnection, *, memory_bytes: int, threads: int) -> None:
    """Bound threads, and what the process can still allocate, so that it holds `memory_bytes` at most.

    Address space that libraries have reserved and not touched by now does not count.
    """
    # The rest is for the process itself and for the result on its way out.
    connection.execute(f"SET memory_limit = '{int(memory_bytes * 0.7) // 1000}KB'")
    connection.execute(f"SET threads = {threads}")
    try:
        pages = Path("/proc/self/statm").read_text().split()
        size, resident = (int(n) * resource.getpagesize() for n in pages[:2])
    except OSError:
        size, resident = 1_200_000_000, 100_000_000
    limit = size - resident + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def connect() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in memory: no extensions, no spill files, no Python variables."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "temp_directory": "",
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
        },
    )
    connection.execute("SET enable_progress_bar = false")
    return connection


def lock(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> None:
    """Let the connection read `files` and nothing else, and keep it from being unlocked."""
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
