"""A world small enough to try everything: one partition, two attempts, a power failure after any call.

Chance finds the rarest interleavings late. Here one attempt makes some calls, then the
other, then the first again; then the power fails, each name that was not synced survives
or not, and the same command is run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, product
from random import Random

from skyloom.engine import Journal
from tests.faults.simulator.actors import LAYER, Wavering, World, make_plan, work
from tests.faults.simulator.invariants import check
from tests.faults.simulator.schedule import Actor
from tests.faults.simulator.substitutes import restart_names

__all__ = ["explore"]


def explore(*, survivors: bool = True) -> Iterator[tuple[int, ...]]:
    """Try every crash, and yield each as it is survived.

    Parameters
    ----------
    survivors : bool
        Whether to try every choice of unsynced names that survive, or only that none does.

    Yields
    ------
    tuple of int
        Calls of the first attempt, of the second, of the first again, and which of the
        unsynced names survived.

    Raises
    ------
    Violation
        If an invariant is broken.
    """
    for first in count():
        if _crash((first, 0, 0)) is None:
            return
        for second in count():
            if _crash((first, second, 0)) is None:
                break
            for again in count():
                unsynced = _crash((first, second, again))
                if unsynced is None:
                    break
                yield first, second, again
                for kept in product((False, True), repeat=unsynced if survivors else 0):
                    if any(kept):
                        _crash((first, second, again), kept)
                        yield (first, second, again, *kept)


def _begin() -> tuple[World, tuple[Actor, Actor]]:
    restart_names()
    plan = make_plan("A", 1)
    world = World(Random(0), (plan,))
    Journal(world.store, LAYER, plan.job_id).begin(plan)

    def attempt(variant: int) -> Actor:
        return world.scheduler.spawn("worker", lambda _: work(world, plan, Wavering(plan, variant), plan.tasks[0]))

    return world, (attempt(0), attempt(1))


def _crash(turns: Iterable[int], kept: Sequence[bool] = ()) -> int | None:
    """Play one crash and the recovery from it.

    Return how many names were not synced; None if an attempt ended before it had its turns.
    """
    world, (first, second) = _begin()
    (plan,) = world.plans
    for actor, turns_of_it in zip((first, second, first), turns, strict=True):
        for _ in range(turns_of_it):
            if actor.ended:
                world.scheduler.kill_all()
                return None
            world.scheduler.resume(actor)
    check(world.files, world.plans, world.told)
    world.scheduler.kill_all()
    unsynced = len(world.files.unsynced())
    world.files.power_fail(iter(kept or [False] * unsynced))
    check(world.files, world.plans, world.told)
    work(world, plan, Wavering(plan, 2), plan.tasks[0])
    check(world.files, world.plans, world.told)
    return unsynced
