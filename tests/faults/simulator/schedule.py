"""A seeded scheduler: ordinary code, interleaved at its system calls.

The actors are greenlets, because the code under test consists of ordinary functions that
cannot yield. Threads that pass a lock give the same schedules, but a switch took 24
microseconds instead of 0.3, and a whole schedule two to three times as long.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from random import Random

from greenlet import getcurrent, greenlet

__all__ = ["Actor", "Killed", "Scheduler"]

PATIENCE = 0.97
"""Probability that somebody who waits goes on waiting when it is their turn."""
SLOW = 0.95
"""Probability that a slow actor is passed over."""
MOMENTOUS = frozenset({"link", "make_directory"})
"""Calls after which others can see what is not durable yet: a good moment to stall."""
STALL_TURNS = 400


class Killed(BaseException):
    """Raised in an actor at the call where it was killed; no further call of it has an effect."""


class Actor:
    """A process: its body runs until it ends or is killed."""

    def __init__(
        self, kind: str, number: int, body: Callable[[Actor], None], *, slow: bool, parent: greenlet
    ) -> None:
        self.kind = kind
        self.number = number
        self.slow = slow
        self.killed = False
        self.call = ""
        """The call that it is about to make."""
        self.stalled_until = 0
        self.awaited: list[Actor] = []
        """Others that this one waits for; it may lose patience."""
        self.agreed = -1
        """Version that a driver agreed to replace."""
        self._body = body
        # Not the greenlet of whoever spawned it: where it ends, or breaks something, the scheduler goes on.
        self.greenlet = greenlet(self._run, parent)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return bool(self.greenlet.dead) or self.killed

    def _run(self) -> None:
        with suppress(Killed):
            self._body(self)


class Scheduler:
    """Hands the baton round.

    Parameters
    ----------
    random : Random
        Who goes on.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self.calls = 0
        self.trace = 0
        """Checksum over who made which call, in order: equal for equal schedules."""
        self._main = getcurrent()
        self._numbers = 0
        self._turn = 0
        self._stick = random.choice((0.0, 0.0, 0.5, 0.9))
        self._stall = random.choice((0.0, 0.1, 0.4))
        self._last: Actor | None = None

    def spawn(self, kind: str, body: Callable[[Actor], None]) -> Actor:
        """Start an actor; it does nothing before its first turn."""
        self._numbers += 1
        actor = Actor(kind, self._numbers, body, slow=self.random.random() < 0.15, parent=self._main)
        self.actors.append(actor)
        return actor

    def step(self, call: str) -> None:
        """Let others go first; what an actor calls before each system call."""
        actor = self.current
        if actor is None:
            return
        if actor.killed:
            raise Killed
        if actor.call in MOMENTOUS and self.random.random() < self._stall:
            actor.stalled_until = self._turn + int(self.random.random() * STALL_TURNS)
        actor.call = call
        self._main.switch()
        if actor.killed:
            raise Killed
        self.calls += 1
        self.trace = zlib.crc32(b"%d %s" % (actor.number, call.encode()), self.trace)

    def advance(self) -> bool:
        """Let one actor make one call; return whether it ended."""
        self._turn += 1
        actor = self._choose()
        if actor.awaited and not all(other.ended for other in actor.awaited):
            if self.random.random() < PATIENCE:
                return False
            actor.awaited.clear()
        return self.resume(actor)

    def _choose(self) -> Actor:
        random = self.random.random
        last, actors = self._last, self.actors
        if last is not None and random() < self._stick and not last.ended and last.stalled_until < self._turn:
            return last
        actor = actors[int(random() * len(actors))]
        for _ in range(4):
            if actor.stalled_until < self._turn and not (actor.slow and random() < SLOW):
                break
            actor = actors[int(random() * len(actors))]
        self._last = actor
        return actor

    def stalled(self) -> list[Actor]:
        """Return who stopped at a moment that others may not notice."""
        return [actor for actor in self.actors if actor.stalled_until >= self._turn]

    def resume(self, actor: Actor) -> bool:
        """Let `actor` go on to its next call; return whether it ended."""
        self.current = actor
        try:
            actor.greenlet.switch()
        finally:
            self.current = None
        if actor.greenlet.dead:
            self.actors.remove(actor)
            return True
        return False

    def kill(self, actor: Actor) -> None:
        """End `actor` as by ``kill -9``: no clean-up of its own touches the disk."""
        actor.killed = True
        self.actors.remove(actor)
        self.current = actor
        try:
            if actor.greenlet:
                actor.greenlet.switch()
        finally:
            self.current = None

    def kill_all(self) -> None:
        """End everybody."""
        for actor in list(self.actors):
            self.kill(actor)
