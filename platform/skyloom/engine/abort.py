"""Abort: say once and for ever that a job will not be finished.

Whether a job is sealed or aborted is decided by one create-once name, its manifest: the
first of the two to write it wins, on every store, without locks. The file ``ABORTED``
beside it repeats the decision for people.
"""

from __future__ import annotations

import json
import os
import platform
import time
from typing import Any

from skyloom.engine.journal import Journal
from skyloom.errors import ConflictError, ErrorKind, NotFoundError
from skyloom.storage import canonical_json

__all__ = ["abort", "aborted", "refuse_aborted"]


def abort(journal: Journal, *, reason: str = "") -> bool:
    """Give a job up; False if that was done before.

    A run of it that is under way stops at its next partition. What it committed stays until
    `skyloom.engine.collect` removes it.

    Raises
    ------
    NotFoundError
        If there is no such job.
    ConflictError
        If it is sealed: a finished job is not given up, its versions expire.
    """
    store = journal.store
    if not store.exists(journal.name("job.json")):
        msg = f"there is no job {journal.job_id} of layer {journal.layer} in {store.root}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, job_id=journal.job_id)
    statement = {
        "job_id": journal.job_id,
        "host": platform.node(),
        "process": os.getpid(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "reason": reason,
    }
    data = canonical_json({"aborted": statement})
    won = store.put_if_absent(journal.name("manifest.json"), data)
    if not won and aborted(journal) is None:
        msg = (
            f"job {journal.job_id} of layer {journal.layer} is sealed: it is complete and cannot be aborted. "
            "Once published, its versions can be removed with `skyloom layer expire`"
        )
        raise ConflictError(msg, kind=ErrorKind.SEALED, job_id=journal.job_id)
    store.put_if_absent(journal.name("ABORTED"), data)
    return won


def aborted(journal: Journal) -> dict[str, Any] | None:
    """Return who aborted a job, when and why; None if nobody did."""
    try:
        values = json.loads(journal.store.read(journal.name("manifest.json")))
    except (NotFoundError, ValueError):
        return None
    statement: dict[str, Any] | None = values.get("aborted") if isinstance(values, dict) else None
    return statement


def refuse_aborted(journal: Journal) -> None:
    """Stop work on a job that was aborted.

    Raises
    ------
    ConflictError
        Saying by whom and why.
    """
    found = aborted(journal)
    if found is not None:
        why = f" ({found['reason']})" if found.get("reason") else ""
        msg = (
            f"job {journal.job_id} of layer {journal.layer} was aborted on {found.get('host')} at "
            f"{found.get('time')}{why} and cannot be finished. To compute it after all, remove what is left of it "
            f"with `skyloom layer collect {journal.layer} --yes`, then run it again"
        )
        raise ConflictError(msg, kind=ErrorKind.ABORTED, job_id=journal.job_id)
