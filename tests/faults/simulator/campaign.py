"""Many schedules, of the real protocol and of its mutations."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.faults.simulator.exhaustive import explore
from tests.faults.simulator.invariants import Violation
from tests.faults.simulator.mutations import MUTATIONS
from tests.faults.simulator.simulation import simulate
from tests.faults.simulator.substitutes import patched, simulated

__all__ = ["REGRESSIONS", "Summary", "campaign", "hunt", "run_seeds"]

REGRESSIONS: dict[str, int] = {
    "directories-left-to-their-maker": 54,
    "exists-then-rename": 21,
    "no-sync-of-the-directory-after-losing": 0,
    "trusting-a-data-file-unsettled": 53,
    "trusting-a-record-unsettled": 1135,
    "trusting-a-reference-unsettled": 777,
}
"""Seeds on which the mutations that are hardest to find break; the real protocol must hold there.

``directories-left-to-their-maker`` is what the store once did: a second driver built on
directories whose maker had been killed before it synced their names.
"""
CHUNK = 250


@dataclass
class Summary:
    """What a campaign did."""

    schedules: int = 0
    calls: int = 0
    kills: int = 0
    power_failures: int = 0
    versions: int = 0
    violations: dict[int, str] = field(default_factory=dict)
    """What was broken, by seed."""

    def add(self, other: Summary) -> None:
        """Add the counts of another part of the campaign."""
        for name in ("schedules", "calls", "kills", "power_failures", "versions"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.violations.update(other.violations)

    def __str__(self) -> str:
        return (
            f"{self.schedules:,} schedules, {self.calls:,} store operations, {self.kills:,} kills, "
            f"{self.power_failures:,} power failures, {self.versions:,} versions published, "
            f"{len(self.violations)} violations"
        )


def run_seeds(seeds: Iterable[int]) -> Summary:
    """Run the schedules of `seeds` in this process, within `simulated`."""
    summary = Summary()
    for seed in seeds:
        summary.schedules += 1
        try:
            result = simulate(seed)
        except Violation as violation:
            summary.violations[seed] = str(violation)
            continue
        summary.calls += result.calls
        summary.kills += result.kills
        summary.power_failures += result.power_failures
        summary.versions += result.versions
    return summary


def _run_chunk(seeds: range) -> Summary:
    with simulated():
        return run_seeds(seeds)


def campaign(start: int, seeds: int, *, jobs: int = 1) -> Iterable[Summary]:
    """Run many schedules; yield the summary so far after each chunk of them."""
    chunks = [range(first, min(first + CHUNK, start + seeds)) for first in range(start, start + seeds, CHUNK)]
    total = Summary()
    if jobs == 1:
        with simulated():
            for chunk in chunks:
                total.add(run_seeds(chunk))
                yield total
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as processes:
        for part in processes.map(_run_chunk, chunks):
            total.add(part)
            yield total


def hunt(name: str, budget: int) -> tuple[int, str] | None:
    """Look for a schedule that breaks a mutation, within `simulated`.

    Parameters
    ----------
    name : str
        A key of `MUTATIONS`.
    budget : int
        Schedules to try, after its regression seed.

    Returns
    -------
    tuple of int and str, or None
        The seed and what it broke.
    """
    known = [REGRESSIONS[name]] if name in REGRESSIONS else []
    with patched(MUTATIONS[name]()):
        for seed in (*known, *range(budget)):
            try:
                simulate(seed)
            except Violation as violation:
                return seed, str(violation)
    return None


def survives_every_crash(name: str | None = None, *, survivors: bool = False) -> int | str:
    """Return how many crashes of the small world the protocol, or a mutation, survives, or what broke."""
    try:
        with patched(MUTATIONS[name]() if name else []):
            return sum(1 for _ in explore(survivors=survivors))
    except Violation as violation:
        return str(violation)
