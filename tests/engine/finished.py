"""Finished toy layers, and ways to damage them."""

from __future__ import annotations

from contextlib import contextmanager

from skyloom.engine import InProcessExecutor, Journal, publish, run_plan, seal

FACE = {"partition_info.csv": b"Norder,Npix\n"}
PROVENANCE = {"model": "toy"}


@contextmanager
def in_process():
    yield InProcessExecutor()


def never():
    raise AssertionError("no executor is needed when nothing has to be computed")


def face(records):
    return FACE, PROVENANCE


def sealed(plan, store):
    summary = run_plan(plan, store, in_process)
    journal = Journal(store, plan.layer, plan.job_id)
    return journal, seal(journal, plan, summary.records, face=FACE, provenance=PROVENANCE)


def finish(plan, store, *, agreed=0):
    """Run, seal and publish a plan."""
    journal, manifest = sealed(plan, store)
    return publish(journal, manifest, agreed=agreed)


def flip(path, at=0.5):
    """Change one bit of a file in place, as a bad disk does."""
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(bytes(data))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


DAMAGE = {"flip": flip, "truncate": truncate, "empty": empty, "remove": remove}
