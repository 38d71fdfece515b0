"""`skyloom status`: how far a run is and how it is, from any terminal, also after it died."""

from __future__ import annotations

import json as json_text
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from skyloom.cli.output import DONE, FAILED, plain, show_json, show_record, show_table, show_text

if TYPE_CHECKING:
    from skyloom.jobs.status import Status

__all__ = ["status"]

HEALTHY = frozenset({"running", "published"})
ADVICE = {
    "running": "",
    "published": "",
    "computed": "every partition is committed and no version was published: run the same command again",
    "stopped": "what is committed is kept: run the same command again",
    "died": "the run ended without a word; what is committed is kept: run the same command again",
    "aborted": "the job was aborted and does not go on; its layer is as it was",
}
"""The way out, by state."""


def status(
    layer: str,
    /,
    *,
    store: str,
    follow: Annotated[bool, Parameter(negative=())] = False,
    every: float = 2.0,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show how far the newest run of a layer is; exit code 1 if it neither runs nor is published.

    For example:
        skyloom status transient-class --store demo-output/layers
        skyloom status transient-class --store demo-output/layers --follow

    Parameters
    ----------
    layer
        The layer's name.
    store
        The folder or URL where layers lie.
    follow
        Look again and again until it ends.
    every
        Seconds between two looks.
    json
        Print JSON, for programs; with --follow one line a look.
    """
    from skyloom.jobs.status import Watch

    watch = Watch(layer, store)
    found = watch.look()
    if not follow:
        if json:
            show_json(found)
        else:
            _show(found)
        return _code(found)
    while True:
        sys.stdout.write((json_text.dumps(plain(found)) if json else _line(found)) + "\n")
        sys.stdout.flush()
        if not found.at_work:
            if not json:
                _show(found)
            return _code(found)
        time.sleep(max(0.1, every))
        found = watch.look()


def _code(found: Status) -> int:
    return DONE if found.state in HEALTHY else FAILED


def _line(found: Status) -> str:
    left = "" if found.seconds_left is None else f", {_duration(found.seconds_left)} left"
    bad = f", {found.quarantined:,} in quarantine" if found.quarantined else ""
    failed = f", {found.partitions_failed:,} partitions failed" if found.partitions_failed else ""
    return (
        f"{found.layer}: {found.state}, {found.rows_done:,} of {found.rows:,} rows, {found.partitions_done:,} of "
        f"{found.partitions:,} partitions, {found.rows_per_s:,.0f} rows/s{left}{bad}{failed}"
    )


def _show(found: Status) -> None:
    share = 100.0 * found.rows_done / found.rows if found.rows else 100.0
    record: dict[str, Any] = {
        "layer": found.layer,
        "state": found.state,
        "version": found.version,
        "rows": f"{found.rows_done:,} of {found.rows:,} ({share:.1f} %)",
        "partitions": f"{found.partitions_done:,} of {found.partitions:,}",
        "failed_partitions": found.partitions_failed,
        "flagged_rows": found.flagged,
        "quarantined_rows": found.quarantined,
        "rows_per_second": f"{found.rows_per_s:,.1f}",
        "time_left": None if found.seconds_left is None else _duration(found.seconds_left),
        "begun": found.begun,
        "last_event": found.last_event,
        "run_by": found.runner,
        "reason": found.reason,
        "job_id": found.job_id,
    }
    show_record({name: value for name, value in record.items() if value not in (None, "")})
    if found.workers:
        names = list(dict.fromkeys(name for worker in found.workers for name in worker.seconds))
        show_table(
            (
                {
                    "process": worker.process,
                    "partitions": worker.partitions,
                    "rows": worker.rows,
                    "busy_s": round(worker.busy_s, 1),
                    **{name: round(worker.seconds.get(name, 0.0), 1) for name in names},
                }
                for worker in found.workers
            ),
            title="\nworkers of this run",
        )
    if ADVICE[found.state]:
        show_text(f"\n{ADVICE[found.state]}")


def _duration(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> [_duration(s) for s in (8.2, 200, 8000, 200000)]
    ['8 s', '3 min 20 s', '2 h 13 min', '2 d 7 h']
    """
    whole = round(seconds)
    for long, short, size in (("d", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if whole >= size:
            part = size // {"h": 24, "min": 60, "s": 60}[short]
            return f"{whole // size} {long} {whole % size // part} {short}"
    return f"{whole} s"
