"""A client of an S3-compatible store, made from the environment of this process alone.

No key ever travels: a URL names bucket and prefix, and each process that opens it finds its
own credentials, as every other S3 program does.

==========================================  =======================================================
``AWS_ENDPOINT_URL_S3``,                    address of a store that is not Amazon's, such as
``AWS_ENDPOINT_URL``, ``AWS_ENDPOINT``      ``https://s3.example.org``
``AWS_REGION``, ``AWS_DEFAULT_REGION``      region; us-east-1 if unset
``AWS_ACCESS_KEY_ID``,                      keys
``AWS_SECRET_ACCESS_KEY``,
``AWS_SESSION_TOKEN``
``AWS_PROFILE``, ``~/.aws/credentials``     keys by profile, where botocore is installed
``AWS_WEB_IDENTITY_TOKEN_FILE``, …          roles of Kubernetes, ECS and EC2
``AWS_ALLOW_HTTP``                          ``true`` to reach an endpoint other than loopback without TLS
==========================================  =======================================================
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skyloom.errors import ErrorKind, SpecError

__all__ = ["s3_client"]

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OWN_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Where the client finds credentials by itself, so that no profile need be asked."""
CONNECT_S = 10


def s3_client(bucket: str, *, timeout_s: float, max_retries: int) -> Any:
    """Return an `obstore.store.S3Store` for a bucket; connects to nothing.

    Parameters
    ----------
    bucket : str
        From the URL.
    timeout_s : float
        Seconds that one request may take, its body included.
    max_retries : int
        Retries that the client makes by itself. 0 for writes: a hidden retry of a PUT that
        had succeeded is answered "exists", and the winner would take itself for the loser.

    Raises
    ------
    SpecError
        If the endpoint or another variable cannot be used.
    """
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    endpoint = endpoint_of(os.environ)
    options: dict[str, Any] = {
        "timeout": timedelta(seconds=timeout_s),
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "allow_http": endpoint is not None and endpoint.startswith("http://"),
    }
    # Deletion in bulk is a request of its own, which not every store knows.
    settings: dict[str, Any] = {"conditional_put": "etag", "disable_bulk_delete": True}
    if endpoint is not None:
        settings["endpoint"] = endpoint
    if "AWS_REGION" not in os.environ and "AWS_DEFAULT_REGION" not in os.environ:
        settings["region"] = "us-east-1"
    if _profiles(os.environ):
        settings["credential_provider"] = _Profile()
    retries = {"max_retries": max_retries, "retry_timeout": timedelta(seconds=2 * timeout_s)}
    try:
        return S3Store(bucket, client_options=options, retry_config=retries, **settings)
    except BaseError:
        # The client's own text may repeat a value.
        variables = ", ".join(sorted(name for name in os.environ if name.startswith("AWS_")))
        msg = f"no S3 client can be made for bucket {bucket}: one of the variables {variables} cannot be used"
    raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, bucket=bucket)


def endpoint_of(environment: Mapping[str, str]) -> str | None:
    """Return the address of the store, or None for Amazon's own.

    Raises
    ------
    SpecError
        If it is no http or https URL, carries a user or password, or is plain http to
        another machine without ``AWS_ALLOW_HTTP=true``.
    """
    name = next((name for name in ENDPOINTS if environment.get(name)), None)
    if name is None:
        return None
    endpoint = environment[name]
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
        msg = f"{name} is not the address of a store: write https://HOST[:PORT], without user, password or query"
        raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, variable=name)
    allowed = environment.get("AWS_ALLOW_HTTP", "").lower() in {"true", "1", "yes"}
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allowed:
        msg = (
            f"{name} is http://{parts.hostname}: data would cross the network in the clear. Use https://, "
            "or set AWS_ALLOW_HTTP=true if that network is yours"
        )
        raise SpecError(msg, kind=ErrorKind.STORE_UNSUITABLE, variable=name)
    return endpoint


def _profiles(environment: Mapping[str, str]) -> bool:
    """Return whether keys are to be looked up in the shared configuration files."""
    if any(environment.get(name) for name in OWN_SOURCES) or environment.get("AWS_SKIP_SIGNATURE"):
        return False
    default = environment.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    wanted = bool(environment.get("AWS_PROFILE")) or Path(default).expanduser().is_file()
    return wanted and importlib.util.find_spec("botocore") is not None


class _Profile:
    """Credentials as botocore finds them: profiles, single sign-on, credential processes."""

    AGAIN_S = 300

    def __init__(self) -> None:
        self._found: Any = None

    def __call__(self) -> dict[str, Any]:
        """Return keys for the next minutes; the client asks again when they have passed."""
        if self._found is None:
            from botocore.session import Session

            self._found = Session().get_credentials()
        if self._found is None:
            raise LookupError("the shared configuration has no credentials for this profile")
        keys = self._found.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=self.AGAIN_S),
        }
