"""All chapters of a report in their order, and the bound on its size."""

from __future__ import annotations

from collections.abc import Sequence

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.reporting.content import Note, Section
from skyloom.reporting.counts import counts
from skyloom.reporting.gather import Gathered, gather
from skyloom.reporting.objects import objects
from skyloom.reporting.outputs import distributions, sky
from skyloom.reporting.page import page
from skyloom.reporting.roles import Roles, roles_of
from skyloom.reporting.said import calibration, timing, what_ran
from skyloom.reporting.subject import Subject

__all__ = ["MOST_BYTES", "compose"]

MOST_BYTES = 10_000_000
"""Bytes of a report: what a mail takes."""
MOST_ROWS = 4
"""Objects shown of each order."""


def compose(
    subject: Subject, *, magnitude: Column | None = None, scores: Sequence[str] = (), most: int = MOST_ROWS
) -> bytes:
    """Return the report of a layer as HTML.

    Parameters
    ----------
    subject : Subject
    magnitude : Column, optional
        The catalog's, which the rows of the subject read beside.
    scores : sequence of str
        Columns to map, where the rule would choose others.
    most : int
        Objects shown of each order.

    Raises
    ------
    SpecError
        If a score is no number of the layer, or the report would be larger than `MOST_BYTES` without any picture.
    DataError
        If a file of the layer is missing or broken.
    """
    gathered: Gathered | None = None
    roles: Roles | None = None
    finished = subject.finished
    if finished is not None:
        roles = roles_of(finished.columns, scores=scores)
        gathered = gather(
            finished.rows, finished.columns, roles, position=finished.position, magnitude=magnitude, most=most
        )
    made = _page(subject, gathered, roles, pictures=True)
    if len(made) > MOST_BYTES:
        made = _page(subject, gathered, roles, pictures=False)
    if len(made) > MOST_BYTES:
        msg = (
            f"the report of layer {subject.layer} would have {len(made):,} bytes even without pictures, and "
            f"{MOST_BYTES:,} at most; show fewer objects with --objects"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, layer=subject.layer)
    return made


def _page(subject: Subject, gathered: Gathered | None, roles: Roles | None, *, pictures: bool) -> bytes:
    shown = objects(subject, gathered, roles, pictures=pictures)
    if not pictures:
        note = f"Pictures are left out: with them the report would have more than {MOST_BYTES:,} bytes."
        shown.blocks.insert(0, Note(note, "warning"))
    sections: list[Section] = [
        what_ran(subject),
        counts(subject, gathered),
        distributions(subject, gathered),
        sky(subject, gathered, roles),
        calibration(subject),
        shown,
        timing(subject),
    ]
    return page(subject, sections).encode()
