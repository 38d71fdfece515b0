"""The error tree: one class per thing that the reader does next.

Every error carries a stable `kind` (for programs), a message (for people: what was
found, the limit, where, and the way out) and a `context` of plain values. All survive
pickling, because most of them are raised in a worker process and read in another one.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

__all__ = [
    "ConflictError",
    "DataError",
    "ErrorKind",
    "NotFoundError",
    "PartitionError",
    "RowError",
    "SkyloomError",
    "SpecError",
    "StoreFullError",
    "TransientError",
    "close_matches",
    "without_secrets",
]


class ErrorKind(StrEnum):
    """What went wrong, spelt the same for ever."""

    # The request is wrong; nothing has run.
    BAD_PARAMETER = "bad-parameter"
    BAD_NAME = "bad-name"
    BAD_JOB_FILE = "bad-job-file"
    UNKNOWN_KEY = "unknown-key"
    UNKNOWN_MODEL = "unknown-model"
    UNKNOWN_COLUMN = "unknown-column"
    UNKNOWN_LAYER = "unknown-layer"
    COLUMN_TYPE = "column-type"
    COLUMN_UNIT = "column-unit"
    PLAN_TOO_LARGE = "plan-too-large"
    BAD_QUERY = "bad-query"
    QUERY_LIMIT = "query-limit"
    # Something named does not exist.
    NO_SUCH_FILE = "no-such-file"
    NOT_A_CATALOG = "not-a-catalog"
    NOT_FINISHED = "not-finished"
    # Bytes break their schema.
    BAD_FILE = "bad-file"
    SCHEMA_DRIFT = "schema-drift"
    ROW_COUNT = "row-count"
    ROW_ORDER = "row-order"
    DUPLICATE_ID = "duplicate-id"
    BAD_POSITION = "bad-position"
    DIGEST_MISMATCH = "digest-mismatch"
    BAD_WEIGHTS = "bad-weights"
    MODEL_OUTPUT = "model-output"
    # A row or a partition that no retry will fix.
    BAD_ROW = "bad-row"
    BAD_PARTITION = "bad-partition"
    TOO_MANY_BAD_ROWS = "too-many-bad-rows"
    # Try again, or change the plan.
    INCOMPLETE = "incomplete"
    CLUSTER_LOST = "cluster-lost"
    STORE_FULL = "store-full"
    STORE_UNSUITABLE = "store-unsuitable"
    STORE_DENIED = "store-denied"
    STORE_UNREACHABLE = "store-unreachable"
    ALREADY_EXISTS = "already-exists"
    PUBLISH_CONFLICT = "publish-conflict"
    SNAPSHOT_CHANGED = "snapshot-changed"
    INTERRUPTED = "interrupted"
    SEALED = "sealed"
    ABORTED = "aborted"
    EXPIRED = "expired"
    # A connection that others could read, or step into.
    INSECURE = "insecure"


class SkyloomError(Exception):
    """Base of every error that skyloom raises on purpose.

    Parameters
    ----------
    message : str
        For a person: what was found, the limit, where, and the way out.
    kind : ErrorKind
        For a program: never reworded.
    **context
        Plain values (str, int, float, bool, None) that a caller may act on.
    """

    def __init__(self, message: str, *, kind: ErrorKind, **context: Any) -> None:
        super().__init__(message)
        self.kind = ErrorKind(kind)
        self.context = context

    @property
    def message(self) -> str:
        """The text for a person."""
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.kind, self.context)


def _rebuild(cls: type[SkyloomError], message: str, kind: ErrorKind, context: dict[str, Any]) -> SkyloomError:
    return cls(message, kind=kind, **context)


class SpecError(SkyloomError):
    """The request is wrong: change the file or the call. Nothing has run."""


class NotFoundError(SkyloomError):
    """Something that the request names does not exist."""


class DataError(SkyloomError):
    """Bytes break their schema or their digest: repair or replace the file named."""


class RowError(SkyloomError):
    """A row that no retry will fix: it is flagged and quarantined, the rest goes on."""


class PartitionError(SkyloomError):
    """A partition that no retry will fix."""


class TransientError(SkyloomError):
    """A fault of the moment: run the same command again."""


class StoreFullError(TransientError):
    """The store has no room left: enlarge it, then run the same command again."""


class ConflictError(SkyloomError):
    """Somebody else changed what this work stands on: plan again."""


def close_matches(name: str, known: Iterable[str]) -> str:
    """Return a clause that offers what `name` may have meant, or lists what there is.

    Examples
    --------
    >>> close_matches("modle", ["model", "layer"])
    "did you mean 'model'?"
    >>> close_matches("x", ["model", "layer"])
    'there is: layer, model'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    if not names:
        return "there is none"
    shown = ", ".join(names[:20]) + (f", and {len(names) - 20} more" if len(names) > 20 else "")
    return f"there is: {shown}"


_SECRET = re.compile(r"(SECRET|TOKEN|PASSW|CREDENTIAL|ACCESS_?KEY|API_?KEY|PRIVATE_?KEY)", re.IGNORECASE)
_PLACE = re.compile(r"(FILE|PATH|DIR|URI|URL)$", re.IGNORECASE)
_SHORTEST_SECRET = 8


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return `text` with the values of secret variables of this process replaced by their names.

    For texts of other libraries and of models that are about to be kept or sent: an exception
    may repeat the keys that a request was signed with.

    Examples
    --------
    >>> without_secrets("401 for hunter22", {"DB_PASSWORD": "hunter22"})
    '401 for $DB_PASSWORD'
    """
    for name, value in environment.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET.search(name) and not _PLACE.search(name):
            text = text.replace(value, f"${name}")
    return text
