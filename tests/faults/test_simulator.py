"""The commit protocol holds on every schedule that is tried, and no weaker one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from skyloom.storage.files import Files
from tests.faults.simulator.campaign import REGRESSIONS, hunt, run_seeds, survives_every_crash
from tests.faults.simulator.files import SimulatedFiles
from tests.faults.simulator.mutations import MUTATIONS
from tests.faults.simulator.simulation import simulate
from tests.faults.simulator.substitutes import simulated

SEEDS = 1_000
BUDGET = 10_000


@pytest.fixture(scope="module", autouse=True)
def simulation():
    with simulated():
        yield


def test_no_schedule_breaks_the_protocol():
    summary = run_seeds(range(SEEDS))
    print(summary)
    assert summary.violations == {}
    assert summary.power_failures > SEEDS / 2
    assert summary.kills > SEEDS / 2


def test_no_regression_seed_breaks_the_protocol():
    assert run_seeds(sorted(REGRESSIONS.values())).violations == {}


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_schedule_breaks_every_mutation(name):
    assert hunt(name, BUDGET) is not None


def test_the_protocol_survives_a_crash_after_every_call_of_two_attempts():
    survived = survives_every_crash()
    assert isinstance(survived, int), survived
    assert survived > 2_000


@pytest.mark.parametrize(
    "name",
    [
        "no-sync-of-the-directory",
        "no-sync-of-the-directory-after-losing",
        "record-before-data",
        "recording-own-bytes",
        "rename-instead-of-link",
        "trusting-a-data-file-unsettled",
        "trusting-a-record-unsettled",
        "write-in-place",
    ],
)
def test_a_crash_of_two_attempts_breaks_mutations_of_the_worker(name):
    assert isinstance(survives_every_crash(name), str)


def test_a_seed_is_one_schedule():
    assert simulate(12) == simulate(12)
    assert simulate(12).trace != simulate(13).trace


def test_a_seed_is_the_same_schedule_in_every_process():
    script = (
        "from tests.faults.simulator.simulation import simulate; "
        "from tests.faults.simulator.substitutes import simulated\n"
        "with simulated():\n    print(*(simulate(seed) for seed in range(8)), sep='\\n')"
    )
    said = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
        )
        said.append(done.stdout)
    assert said[0] == said[1] == "".join(f"{simulate(seed)}\n" for seed in range(8))


def _outcome(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return error.errno


def _write(files, path):
    file = files.create(path)
    file.write(path.name.encode() * 3)
    files.sync(file)
    files.close(file)


@pytest.mark.parametrize("seed", range(20))
def test_the_simulated_disk_answers_like_a_real_one(tmp_path, seed):
    # The same calls on both, on few enough names that they get in one another's way.
    random = Random(seed)
    real, disk = Files(), SimulatedFiles(lambda call: None, Random(0))
    for folder in reversed((tmp_path, *tmp_path.parents[:-1])):
        disk.make_directory(folder)
    paths = [tmp_path / folder / name for folder in ("a", "b") for name in "xyz"]
    calls = ["write", "link", "unlink", "link_count", "exists", "size", "read", "names", "make_directory"]
    for _ in range(120):
        call, path, other = random.choice(calls), random.choice(paths), random.choice(paths)
        if call == "write":
            answers = [_outcome(_write, files, path) for files in (real, disk)]
        elif call == "link":
            answers = [_outcome(files.link, path, other) for files in (real, disk)]
        elif call in {"names", "make_directory"}:
            answers = [_outcome(getattr(files, call), path.parent) for files in (real, disk)]
        else:
            answers = [_outcome(getattr(files, call), path) for files in (real, disk)]
        assert answers[0] == answers[1], (call, path, other)
    walked = [sorted(map(str, files.walk(tmp_path))) for files in (real, disk)]
    assert walked[0] == walked[1]


def test_a_power_failure_spares_exactly_what_was_synced():
    disk = SimulatedFiles(lambda call: None, Random(0))
    folder = Path("/a")
    disk.make_directory(folder)
    disk.sync_directory(folder.parent)
    for name in ("synced", "unsynced"):
        _write(disk, folder / name)
        if name == "synced":
            disk.sync_directory(folder)
    file = disk.create(folder / "late")
    file.write(b"bytes")
    file.flush()
    disk.power_fail(iter([False, False]))
    assert disk.names(folder) == ["synced"]
    assert disk.read(folder / "synced") == b"synced" * 3
