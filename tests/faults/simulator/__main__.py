"""Run a campaign: ``python -m tests.faults.simulator --seeds 100000 --start 0 --jobs 2``."""

from __future__ import annotations

import argparse
import sys
import time

from tests.faults.simulator.campaign import Summary, campaign, hunt, survives_every_crash
from tests.faults.simulator.mutations import MUTATIONS
from tests.faults.simulator.substitutes import simulated


def main() -> int:
    """Return 0 if nothing was broken and every mutation was found."""
    parser = argparse.ArgumentParser(description="Simulate schedules of the commit protocol and its mutations.")
    parser.add_argument("--seeds", type=int, default=1_000, help="schedules of the real protocol")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--budget", type=int, default=10_000, help="schedules within which a mutation must break")
    options = parser.parse_args()

    started, shown, summary = time.monotonic(), time.monotonic(), Summary()
    for summary in campaign(options.start, options.seeds, jobs=options.jobs):
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(f"  {summary}, {shown - started:.0f} s", flush=True)
    print(f"protocol: {summary}, {time.monotonic() - started:.0f} s", flush=True)
    for seed, what in sorted(summary.violations.items())[:10]:
        print(f"  seed {seed}: {what}")
    with simulated():
        crashes = survives_every_crash(survivors=True)
        print(f"every crash of one partition with two attempts: {crashes} survived", flush=True)
        killed = [_hunted(name, options.budget) for name in sorted(MUTATIONS)] if options.budget else []
    print(f"mutations: {sum(killed)}/{len(killed)} found")
    return 0 if not summary.violations and isinstance(crashes, int) and all(killed) else 1


def _hunted(name: str, budget: int) -> bool:
    found = hunt(name, budget)
    crash = survives_every_crash(name)
    small = "" if isinstance(crash, int) else "; the small world breaks too"
    print(f"  {name}: {'NOT FOUND' if found is None else f'seed {found[0]}: {found[1][:90]}'}{small}", flush=True)
    return found is not None


if __name__ == "__main__":
    sys.exit(main())
