"""What layers keep and for how long: old versions expire, left-overs are collected, jobs are given up."""

from __future__ import annotations

from pathlib import Path

from skyloom.engine import Journal, abort, collect, expire, leftovers, plan_expiry
from skyloom.engine.collect import GRACE_S, Leftover
from skyloom.engine.expire import Expiry
from skyloom.errors import ErrorKind, NotFoundError, close_matches
from skyloom.storage import check_name, open_store

__all__ = ["abort_job", "collect_layer", "expire_layer"]


def expire_layer(
    name: str, store: str | Path, *, keep: int | None = None, before: int | None = None, dry_run: bool = True
) -> Expiry:
    """Let the data of old versions go; see `skyloom.engine.expire`.

    Parameters
    ----------
    name : str
        The layer.
    store : str or Path
        Where it lies.
    keep : int, optional
        Keep so many of the newest versions.
    before : int, optional
        Expire the versions before this one.
    dry_run : bool
        Only say what would happen.
    """
    opened = open_store(store)
    expiry = plan_expiry(opened, name, keep=keep, before=before)
    if not dry_run:
        expire(opened, expiry)
    return expiry


def collect_layer(
    name: str, store: str | Path, *, grace_s: float = GRACE_S, dry_run: bool = True
) -> tuple[Leftover, ...]:
    """Remove what runs left behind; see `skyloom.engine.collect`.

    Parameters
    ----------
    name : str
        The layer.
    store : str or Path
        Where it lies.
    grace_s : float
        Unpublished jobs to which nothing was written for so long may go.
    dry_run : bool
        Only say what would be removed.
    """
    opened = open_store(store)
    return leftovers(opened, name, grace_s=grace_s) if dry_run else collect(opened, name, grace_s=grace_s)


def abort_job(job_id: str, store: str | Path, *, reason: str = "") -> Journal:
    """Give an unfinished job up, whatever layer it is of; see `skyloom.engine.abort`.

    Raises
    ------
    NotFoundError
        If no layer in the store has such a job.
    ConflictError
        If it is sealed.
    """
    check_name(job_id, what="job")
    opened = open_store(store)
    known: list[str] = []
    for layer in opened.names(""):
        jobs = [] if layer.startswith(".") else opened.names(f"{layer}/jobs")
        if job_id in jobs:
            journal = Journal(opened, layer, job_id)
            abort(journal, reason=reason)
            return journal
        known += jobs
    msg = f"no layer in {opened.root} has a job {job_id}; {close_matches(job_id, known)}"
    raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, job_id=job_id)
