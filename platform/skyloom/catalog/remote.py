"""How catalogs of others are reached: with keys where this process has some, as anybody where not.

Public survey buckets refuse requests signed with somebody's keys for another cloud, or none
at all where keys are demanded; HATS itself always asks as anybody.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from skyloom.errors import ErrorKind, SpecError
from skyloom.storage.s3 import endpoint_of

__all__ = ["denied", "storage_options"]


def storage_options(location: str) -> dict[str, Any]:
    """Return what fsspec needs to know beside the URL: never a key, each process finds its own.

    Parameters
    ----------
    location : str
        A path or URL.

    Raises
    ------
    SpecError
        If ``AWS_ENDPOINT_URL`` cannot be used.
    """
    if not location.startswith(("s3://", "s3a://")):
        return {}
    settings = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    options: dict[str, Any] = {"anon": not _has_keys(settings)}
    endpoint = endpoint_of(os.environ)
    return options if endpoint is None else {**options, "endpoint_url": endpoint}


@lru_cache(maxsize=8)
def _has_keys(_settings: tuple[tuple[str, str], ...]) -> bool:
    """Return whether this process finds keys: in the environment, a profile, or a role of its machine."""
    if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"true", "1"}:
        return False
    from botocore.session import Session

    return Session().get_credentials() is not None


def denied(location: str) -> SpecError:
    """Return the error of a catalog that may not be read."""
    msg = (
        f"access to the catalog at {location} is refused. Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or "
        "AWS_PROFILE, AWS_ENDPOINT_URL and AWS_REGION here and on every worker; for a public bucket of another "
        "store than your keys are for, set AWS_SKIP_SIGNATURE=true"
    )
    return SpecError(msg, kind=ErrorKind.STORE_DENIED, location=location)
