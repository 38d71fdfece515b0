"""Plan, dispatch, commit, resume: durable work over keyed partitions.

The engine knows neither the sky nor networks. A task is a key, a number of rows and the
digest of what it reads; what is done with it is a `Processor` that a worker process loads
once. So the same engine scores catalogs today and cuts out, trains or simulates later.
"""

from skyloom.engine.abort import abort
from skyloom.engine.collect import collect, leftovers
from skyloom.engine.dispatch import Executor, InProcessExecutor, Outcome, dispatch
from skyloom.engine.expire import expire, plan_expiry
from skyloom.engine.journal import Journal
from skyloom.engine.lease import holders
from skyloom.engine.limits import Limits
from skyloom.engine.overlap import DECOMPRESSION
from skyloom.engine.plan import Plan, Task, Work, pending
from skyloom.engine.processor import Computed, Fault, Piece, Processor, Rows, Splittable, process
from skyloom.engine.publish import Published, history, publish, published
from skyloom.engine.records import Record
from skyloom.engine.repair import repair
from skyloom.engine.replay import replay
from skyloom.engine.rows import rows_digest
from skyloom.engine.run import RunSummary, run_plan
from skyloom.engine.seal import Manifest, seal
from skyloom.engine.solo import SoloExecutor
from skyloom.engine.verify import verify

__all__ = [
    "DECOMPRESSION",
    "Computed",
    "Executor",
    "Fault",
    "InProcessExecutor",
    "Journal",
    "Limits",
    "Manifest",
    "Outcome",
    "Piece",
    "Plan",
    "Processor",
    "Published",
    "Record",
    "Rows",
    "RunSummary",
    "SoloExecutor",
    "Splittable",
    "Task",
    "Work",
    "abort",
    "collect",
    "dispatch",
    "expire",
    "history",
    "holders",
    "leftovers",
    "pending",
    "plan_expiry",
    "process",
    "publish",
    "published",
    "repair",
    "replay",
    "rows_digest",
    "run_plan",
    "seal",
    "verify",
]
