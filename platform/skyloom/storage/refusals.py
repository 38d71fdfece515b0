"""What an object store's refusals mean: try again, make room, or change something.

Messages hold the status and the store's own one-word code, never the text of an answer,
which may repeat what was signed.
"""

from __future__ import annotations

from skyloom.errors import ErrorKind, SkyloomError, SpecError, StoreFullError, TransientError
from skyloom.storage.requests import RequestFailedError

__all__ = ["of_the_moment", "unanswered"]

FULL_CODES = ("StorageFull", "InsufficientStorage", "InsufficientCapacity", "QuotaExceeded", "NoSpaceLeft")
DENIED_CODES = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"})
AGAIN_CODES = frozenset({"RequestTimeout", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"})
AGAIN_STATUS = frozenset({0, 304, 408, 409, 412, 425, 429, 500, 502, 503, 504})


def unanswered(failed: RequestFailedError, where: str) -> TransientError:
    """Return the error of a request that was made as often as makes sense."""
    msg = f"the store neither took nor gave {where}: {failed}. What is committed is safe; run the command again"
    return TransientError(msg, kind=ErrorKind.STORE_UNREACHABLE, where=where, status=failed.status)


def of_the_moment(failed: RequestFailedError, where: str) -> RequestFailedError:
    """Return a failure that another attempt may not meet.

    Raises
    ------
    StoreFullError
        If the store says that it has no room.
    SpecError
        If keys, permissions, bucket or size are wrong, which every other attempt meets too.
    """
    fatal = _fatal(failed, where)
    if fatal is not None:
        raise fatal from None
    return failed


def _fatal(failed: RequestFailedError, where: str) -> SkyloomError | None:
    status, code = failed.status, failed.code
    context = {"where": where, "status": status, "code": code}
    if status == 507 or any(code.endswith(full) for full in FULL_CODES):
        msg = f"no room left to write {where} ({failed}): enlarge the store or quota, then run again"
        return StoreFullError(msg, kind=ErrorKind.STORE_FULL, **context)
    if status in {401, 403} or code in DENIED_CODES:
        msg = (
            f"the store refuses access to {where} ({failed}). Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
            "AWS_SESSION_TOKEN or AWS_PROFILE, AWS_ENDPOINT_URL and AWS_REGION here and on every worker, and that "
            "the keys may get, put and list there"
        )
        return SpecError(msg, kind=ErrorKind.STORE_DENIED, **context)
    if status in AGAIN_STATUS or code in AGAIN_CODES:
        return None
    if code == "NoSuchBucket":
        msg = f"the bucket of {where} does not exist; create it, or correct the URL"
    elif status == 413 or code == "EntityTooLarge":
        msg = f"the store finds {where} too large ({failed}); import the catalog in smaller partitions"
    else:
        msg = f"the store refuses {where} ({failed}): it does not know what is asked of it; choose another store"
    return SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, **context)
