"""One schedule: who is started when, what is done to them, and what is checked on the way."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.faults.simulator import actors
from tests.faults.simulator.actors import World, make_plan
from tests.faults.simulator.invariants import Violation, check, check_finished
from tests.faults.simulator.schedule import Actor
from tests.faults.simulator.substitutes import restart_names

__all__ = ["Result", "Simulation", "simulate"]

TURNS = 60_000
"""Turns after which a schedule that has not ended never will."""
CALM_AFTER = 8_000
"""Turns after which nothing is broken any more."""
DRIVERS = ("A", "A", "B")
"""Two drivers of one job, and one of another job on the same layer."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a schedule was."""

    seed: int
    calls: int
    """System calls made."""
    kills: int
    power_failures: int
    versions: int
    trace: int
    """Checksum over all calls: equal for equal schedules."""


@dataclass
class _Seat:
    """A driver that somebody starts again until it is done."""

    job: int
    actor: Actor | None = None
    done: bool = False


class Simulation:
    """One schedule.

    Parameters
    ----------
    seed : int
        Decides all of it.
    """

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        restart_names()
        self.seed = seed
        self.random = random
        partitions = random.choice((1, 1, 1, 1, 2, 3))
        self.world = World(random, (make_plan("A", partitions), make_plan("B", partitions)))
        self.world.files.full = random.choice((0.0, 0.0, 0.05))
        self.world.files.lossy = random.choice((0.0, 0.0, 0.2))
        self.world.files.failing = random.choice((0.0, 0.0, 0.0, 0.03))
        self.seats = [_Seat(job="AB".index(job)) for job in DRIVERS]
        self.faults = random.randrange(7)
        self.power = random.choice((0.2, 0.4, 0.8))
        self.kills = self.power_failures = self.power_fails_at = 0

    def run(self) -> Result:
        """Run to the end.

        Raises
        ------
        Violation
            If an invariant is broken, or the jobs are never published.
        """
        scheduler, random = self.world.scheduler, self.random.random
        changed = True
        for turn in range(TURNS):
            if turn == CALM_AFTER:
                self._calm()
            if changed:
                self._start_drivers()
            if not scheduler.actors:
                break
            changed = self._disturb(turn) if random() < 0.02 else False
            if turn == self.power_fails_at and self.faults:
                self._fail_power()
                changed = True
            if scheduler.actors:
                changed = scheduler.advance() or changed
        else:
            raise Violation(f"liveness: not published after {TURNS} turns")
        return self._finish()

    def _calm(self) -> None:
        self.faults = 0
        self.world.files.full = self.world.files.lossy = self.world.files.failing = 0.0

    def _start_drivers(self) -> None:
        for seat in self.seats:
            if not seat.done and (seat.actor is None or seat.actor.ended):
                seat.actor = self.world.scheduler.spawn("driver", self._body(seat))

    def _body(self, seat: _Seat):
        def body(actor: Actor) -> None:
            seat.done = actors.drive(self.world, actor, self.world.plans[seat.job])

        return body

    def _disturb(self, turn: int) -> bool:
        """Do something to somebody; return whether anybody ended."""
        chance = self.random.random()
        if chance < 0.15:
            self.world.scheduler.spawn("reader", lambda _: actors.read_layer(self.world))
        elif chance < 0.25:
            self.world.scheduler.spawn("collector", lambda _: actors.collect(self.world))
        elif chance < 0.4:
            self._check()
        elif self.faults:
            if self.random.random() < self.power:
                self._fail_power()
            else:
                self._kill()
                # What the dead left undurable is soon built on; then it had better be durable.
                self.power_fails_at = turn + self.random.randrange(1, 300)
            return True
        return False

    def _kill(self) -> None:
        self.faults -= 1
        self.kills += 1
        scheduler = self.world.scheduler
        scheduler.kill(self.random.choice(scheduler.stalled() or scheduler.actors))

    def _check(self) -> None:
        check(self.world.files, self.world.plans, self.world.told)

    def _fail_power(self) -> None:
        self.faults -= 1
        self.power_failures += 1
        self._check()
        self.world.scheduler.kill_all()
        random = self.random.random
        self.world.files.power_fail(iter(lambda: random() < 0.5, None), self.random)
        self._check()
        for seat in self.seats:
            # Some run the same command again though it had told them that it was done.
            seat.done = seat.done and random() < 0.5

    def _finish(self) -> Result:
        self._calm()
        self._check()
        actors.read_layer(self.world)
        actors.collect(self.world)
        check_finished(self.world.files, self.world.plans, self.world.told)
        return Result(
            seed=self.seed,
            calls=self.world.scheduler.calls,
            kills=self.kills,
            power_failures=self.power_failures,
            versions=len(self.world.told.references),
            trace=self.world.scheduler.trace,
        )


def simulate(seed: int) -> Result:
    """Run the schedule of `seed`; raise `Violation` if the protocol breaks on it."""
    return Simulation(seed).run()
