"""Prefetch: make the next items in a thread while this one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from skyloom.errors import ErrorKind, SpecError

__all__ = ["prefetched"]

Item = TypeVar("Item")
Made = TypeVar("Made")


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


_END = object()


@contextmanager
def prefetched(make: Callable[[Item], Made], items: Iterable[Item], *, ahead: int = 1) -> Iterator[Iterator[Made]]:
    """Yield an iterator over ``make(item)``, made in a thread, in order.

    Results that wait and the one that is being made are at most `ahead`, so memory is bounded
    by one more than that, with the one that is worked on. What `make` raises is raised where
    its result would have come. Leaving the block, for whatever reason, stops the thread after
    the item that it is at, and waits for that: no thread outlives it, which matters to a
    process that forks afterwards.

    Parameters
    ----------
    make : callable
        Called in the thread, once per item, never twice at a time.
    items : iterable
        Also drawn from in the thread.
    ahead : int
        Results that may wait or be in the making; 0 makes everything in the caller's own thread.

    Raises
    ------
    SpecError
        If `ahead` is negative.

    Examples
    --------
    >>> with prefetched(lambda n: n * n, range(4), ahead=2) as squares:
    ...     list(squares)
    [0, 1, 4, 9]
    """
    if ahead < 0:
        msg = f"ahead must be 0 or more, got {ahead}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, ahead=ahead)
    if ahead == 0:
        yield map(make, items)
        return
    # A slot is taken before an item is made, not after: what waits and what is being made are both counted.
    slots = threading.Semaphore(ahead)
    results: queue.SimpleQueue[object] = queue.SimpleQueue()
    stopped = threading.Event()
    thread = threading.Thread(
        target=_work, args=(make, items, slots, results, stopped), name="skyloom-prefetch", daemon=True
    )
    thread.start()
    try:
        yield _taken(results, slots)
    finally:
        stopped.set()
        slots.release()
        thread.join()


def _work(
    make: Callable[[Item], Made],
    items: Iterable[Item],
    slots: threading.Semaphore,
    results: queue.SimpleQueue[object],
    stopped: threading.Event,
) -> None:
    try:
        for item in items:
            slots.acquire()
            if stopped.is_set():
                return
            results.put(make(item))
        results.put(_END)
    except BaseException as error:
        results.put(_Failed(error))


def _taken(results: queue.SimpleQueue[object], slots: threading.Semaphore) -> Iterator[Made]:
    while (found := results.get()) is not _END:
        if isinstance(found, _Failed):
            raise found.error
        slots.release()
        yield found  # type: ignore[misc]
