"""Groups of tasks on a Dask cluster, through one client.

Tasks carry a work's id, not the work: a worker plugin brings the description to every
worker, also to those that come later, and each process loads its model once.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distributed import KilledWorker, WorkerPlugin, as_completed

from skyloom.engine.outcomes import Outcome
from skyloom.engine.plan import Task, Work
from skyloom.engine.worker import register, run_group
from skyloom.errors import ErrorKind, TransientError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["DaskExecutor"]


class _Describe(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Tell a worker process how the tasks of a work are done."""

    def __init__(self, work_id: str, description: str) -> None:
        self.name = f"skyloom-{work_id}"
        self.work_id = work_id
        self.description = description

    def setup(self, worker: Any) -> None:
        """Run on every worker when it starts, or when the plugin is registered."""
        register(self.work_id, self.description)


class DaskExecutor:
    """Run groups on the workers of a client.

    Parameters
    ----------
    client : distributed.Client
        Connected; stays open.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._groups: dict[str, Sequence[Task]] = {}
        self._completed = as_completed([], loop=client.loop, with_results=False, raise_errors=False)

    @property
    def slots(self) -> int:
        """Worker threads there are now; at least one, for a cluster that is still growing.

        Raises
        ------
        TransientError
            If the scheduler is gone.
        """
        self._check_alive()
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def prepare(self, work: Work) -> None:
        """Tell every worker, present and future, how the tasks are done."""
        self._client.register_plugin(_Describe(work.work_id, work.to_json()))

    def submit(self, work_id: str, tasks: Sequence[Task]) -> None:
        """Send a group; its key is new, so that no result of an earlier attempt is taken for it."""
        self._check_alive()
        key = f"skyloom-{uuid.uuid4().hex}"
        self._groups[key] = tasks
        future = self._client.submit(run_group, work_id, tasks, key=key, pure=False, retries=0)
        self._completed.add(future)

    def next_done(self) -> tuple[Sequence[Task], list[Outcome] | BaseException]:
        """Wait for any group.

        Raises
        ------
        TransientError
            If the scheduler is gone.
        """
        future: Future = next(self._completed)
        tasks = self._groups.pop(future.key)
        try:
            if future.status == "finished":
                return tasks, future.result()
            if future.status == "error":
                return tasks, _death(future.exception())
            raise _lost(str(future.status))
        finally:
            future.release()

    def _check_alive(self) -> None:
        if self._client.status != "running":
            raise _lost(str(self._client.status))


def _lost(status: str) -> TransientError:
    msg = "the Dask scheduler is gone; committed partitions are safe, run the same command again"
    return TransientError(msg, kind=ErrorKind.CLUSTER_LOST, status=status)


def _death(error: BaseException) -> BaseException:
    """Return `error` if a worker died of a task; a group never raises by itself.

    Raises
    ------
    TransientError
        If the workers cannot run groups at all.
    """
    died: bool = isinstance(error, KilledWorker)
    if died:
        return error
    msg = (
        f"the cluster's workers cannot run skyloom's tasks: {type(error).__name__}: {error}. "
        "They need the same versions of skyloom and Python as here"
    )
    raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST) from error
