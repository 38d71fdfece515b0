"""Local workers are forked from one process that imported for all of them, and that has their allocator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from skyloom.cluster.forks import CAN_FORK

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(not CAN_FORK, reason="workers are spawned here")]

SCRIPT = """
import os, signal, sys
from pathlib import Path
from skyloom.cluster import ClusterSpec, fork_ahead, start, worker_environment


def found():
    parent = Path(f"/proc/{os.getppid()}")
    return {
        "parent": os.getppid(),
        "imported": "colorsys" in sys.modules,
        "started with": dict(w.split("=", 1) for w in (parent / "environ").read_text().split("\\0") if w),
        "blocked": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    }


if __name__ == "__main__":
    before = dict(os.environ)
    fork_ahead(("colorsys", "no_such_module_anywhere"), worker_environment())
    assert dict(os.environ) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with start(ClusterSpec(workers=2, dashboard="")) as running:
        seen = list(running.client.run(found).values())
    assert len(seen) == 2
    assert len({one["parent"] for one in seen} - {os.getpid()}) == 1, "both were forked from one other process"
    assert all(one["imported"] for one in seen)
    assert all(one["blocked"] for one in seen), "Ctrl-C in a terminal is for the driver"
    for name, value in worker_environment().items():
        assert seen[0]["started with"][name] == value, name
    print("as it should be")
"""


LATER = """
import os
from skyloom.cluster import ClusterSpec, start

if __name__ == "__main__":
    for word in ("first", "second"):
        os.environ["SKYLOOM_TEST_WORD"] = word
        os.environ["OMP_NUM_THREADS"] = "9"
        with start(ClusterSpec(workers=1, dashboard="")) as running:
            for name in ("SKYLOOM_TEST_WORD", "OMP_NUM_THREADS"):
                print(*running.client.run(os.getenv, name).values())
"""


def run(script: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run(
        [sys.executable, str(script)], check=False, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "driver.py"
    path.write_text(SCRIPT)
    return path


def test_workers_are_forked_from_one_process_that_imported_for_them(script):
    done = run(script, OMP_NUM_THREADS="16")

    assert done.stdout == "as it should be\n", done.stderr


def test_what_a_user_says_of_the_allocator_wins(script):
    done = run(script, MALLOC_ARENA_MAX="2")

    assert done.stdout == "as it should be\n", done.stderr


def test_workers_know_what_was_set_since_and_keep_to_their_thread(tmp_path):
    path = tmp_path / "driver.py"
    path.write_text(LATER)

    done = run(path)

    assert done.stdout.split() == ["first", "1", "second", "1"], done.stderr


def test_a_driver_that_is_killed_leaves_no_process(tmp_path):
    path = tmp_path / "driver.py"
    path.write_text(
        "import os, signal\nfrom skyloom.cluster import ClusterSpec, start\n\n\n"
        "if __name__ == '__main__':\n"
        "    with start(ClusterSpec(workers=2, dashboard='')) as running:\n"
        "        workers = running.client.run(os.getpid).values()\n"
        "        print(*workers, *set(running.client.run(os.getppid).values()), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = run(path)

    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 3
    assert done.returncode == -signal.SIGKILL
    for pid in pids:
        assert ends(pid), pid


def ends(pid: int) -> bool:
    """Whether a process ends, or waits only for somebody to ask how it did."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False
