"""What a cluster is asked to be: a value, read from a word, an address or a TOML file."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyloom.cluster.certificates import check_certificate
from skyloom.errors import ErrorKind, NotFoundError, SpecError, close_matches

__all__ = ["ClusterSpec", "resolve"]


class ClusterSpec(BaseModel):
    """A cluster file's schema."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["local", "in-process", "scheduler"] = Field(
        default="local", description="local processes, this process alone, or a scheduler that is running"
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        description="worker processes, each with one thread; or GPUs, each with one worker (kind = local)",
    )
    memory_bytes: int | None = Field(
        default=None, ge=1, description="memory of each worker; by default an equal share (kind = local)"
    )
    dashboard: str = Field(
        default="127.0.0.1:8787",
        description="address of the Dask dashboard, or '' for none; another port if it is taken (kind = local)",
    )
    address: str = Field(default="", description="tcp:// or tls:// address (kind = scheduler)")
    tls_ca: str = Field(
        default="", description="certificate of the cluster's authority; paths are relative to the cluster file"
    )
    tls_cert: str = Field(default="", description="certificate of the client (address = tls://…)")
    tls_key: str = Field(default="", description="private key of the client (address = tls://…)")
    insecure: bool = Field(
        default=False, description="talk to another machine without TLS: whoever reaches it can run code as you"
    )

    def check(self) -> ClusterSpec:
        """Return the spec if connections as it asks for are safe, or it says that they need not be.

        Raises
        ------
        SpecError
            If an address beyond this machine has no TLS, or TLS lacks its files, is expired or foreign.
        NotFoundError
            If a certificate does not exist.
        """
        if self.kind == "local":
            self._check_dashboard()
        if self.kind != "scheduler":
            return self
        files = (self.tls_ca, self.tls_cert, self.tls_key)
        if self.address.startswith("tls://"):
            if not all(files):
                msg = (
                    f"{self.address} needs tls_ca, tls_cert and tls_key: give --cluster a TOML file with them. "
                    "`skyloom cluster certs DIR` makes certificates and such a file"
                )
                raise SpecError(msg, kind=ErrorKind.INSECURE, address=self.address)
            check_certificate(*map(Path, files))
        elif any(files):
            msg = f"tls_ca, tls_cert and tls_key are given, and the address {self.address} is not tls://"
            raise SpecError(msg, kind=ErrorKind.INSECURE, address=self.address)
        elif not (is_local(self.address) or self.insecure):
            msg = (
                f"the scheduler {self.address} is on another machine and does not use TLS: whoever reaches it can "
                "run code as you, there and here. `skyloom cluster certs DIR` makes certificates for it; in a "
                "network that you trust entirely, say --insecure (or insecure = true in the cluster file)"
            )
            raise SpecError(msg, kind=ErrorKind.INSECURE, address=self.address)
        return self

    def _check_dashboard(self) -> None:
        host = self.dashboard.rpartition(":")[0]
        if host and not (is_local(f"tcp://{self.dashboard}") or self.insecure):
            msg = (
                f"the dashboard would listen on {self.dashboard}, where others see the run without a password; "
                "use 127.0.0.1:PORT and a tunnel, or say --insecure (insecure = true in the cluster file)"
            )
            raise SpecError(msg, kind=ErrorKind.INSECURE, dashboard=self.dashboard)


def is_local(address: str) -> bool:
    """Return whether an address can only be this machine's.

    Examples
    --------
    >>> [is_local(a) for a in ("tcp://127.0.0.1:8786", "tcp://[::1]:1", "tcp://localhost:1", "tcp://10.0.0.5:1")]
    [True, True, True, False]
    """
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def resolve(text: str | Path, *, insecure: bool = False) -> ClusterSpec:
    """Return the cluster that ``--cluster`` names.

    Parameters
    ----------
    text : str or path
        ``"local"``, ``"in-process"``, the ``tcp://`` or ``tls://`` address of a running
        scheduler, or the path of a TOML file with the fields of `ClusterSpec`.
    insecure : bool
        Whether to talk to another machine without TLS.

    Raises
    ------
    SpecError
        If the file has a wrong or misspelt key, or the connection would not be safe.
    NotFoundError
        If it is neither of these.
    """
    spec = _parsed(text)
    return (spec.model_copy(update={"insecure": True}) if insecure else spec).check()


def _parsed(text: str | Path) -> ClusterSpec:
    name = str(text)
    if name in {"local", "in-process"}:
        return ClusterSpec.model_validate({"kind": name})
    if name.startswith(("tcp://", "tls://")):
        return ClusterSpec(kind="scheduler", address=name)
    path = Path(name)
    if not path.is_file():
        msg = (
            f"no cluster {name!r}: {close_matches(name, ['local', 'in-process'])} "
            "Otherwise give tcp://host:port of a scheduler, or a TOML file"
        )
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, cluster=name)
    try:
        spec = ClusterSpec.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not TOML: {error}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, path=name) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        msg = f"{path}: key {key!r}: {first['msg']}; {close_matches(key, ClusterSpec.model_fields)}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_KEY, path=name, key=key) from error
    # Joining keeps an absolute path as it is.
    tls = {name: getattr(spec, name) for name in ("tls_ca", "tls_cert", "tls_key")}
    return spec.model_copy(update={name: str(path.absolute().parent / file) for name, file in tls.items() if file})
