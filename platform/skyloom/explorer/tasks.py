"""Work of one browser that takes time, in threads; of answers that overtake each other the newest counts."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, TypeVar

from bokeh.document import without_document_lock

from skyloom.errors import SkyloomError

__all__ = ["Tasks"]

Found = TypeVar("Found")
logger = logging.getLogger(__name__)


class Tasks:
    """Runs what takes time without the lock of the document, so that a slow query never holds up a zoom.

    Parameters
    ----------
    document : bokeh.document.Document
    on_error : callable
        Told what went wrong, where nobody else wants to know.
    kept : collection of str
        Names of work whose end is always followed up, whatever was asked since: it has written something.
    """

    def __init__(self, document: Any, *, on_error: Callable[[str], None], kept: Collection[str] = ()) -> None:
        self._document, self._on_error, self._kept = document, on_error, kept
        self._asked: Counter[str] = Counter()

    def start(
        self,
        what: str,
        work: Callable[[], Found],
        show: Callable[[Found], None],
        fail: Callable[[str], None] | None = None,
    ) -> None:
        """Do `work` in a thread, then `show` what it found, unless it was asked again meanwhile."""
        self._asked[what] += 1
        number = self._asked[what]

        def settle(found: Found | None, message: str) -> None:
            if what not in self._kept and number != self._asked[what]:
                return
            if message:
                (fail or self._on_error)(message)
            else:
                show(found)  # type: ignore[arg-type]

        @without_document_lock  # type: ignore[untyped-decorator]
        async def run() -> None:
            found, message = None, ""
            try:
                found = await asyncio.to_thread(work)
            except SkyloomError as error:
                message = error.message
            except Exception as error:  # the end of a task: a page that only waited would say nothing
                logger.exception("%s of a page failed", what)
                message = f"{what} failed, {type(error).__name__}: {error}; the server's log has more"
            self._document.add_next_tick_callback(partial(settle, found, message))

        self._document.add_next_tick_callback(run)
