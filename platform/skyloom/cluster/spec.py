"""What a cluster is asked to be: a value, read from a word, an address or a TOML file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
        description="worker processes, each with one thread (kind = local)",
    )
    memory_bytes: int | None = Field(
        default=None, ge=1, description="memory of each worker; by default an equal share (kind = local)"
    )
    dashboard: str = Field(
        default="127.0.0.1:8787",
        description="address of the Dask dashboard, or '' for none; another port if it is taken (kind = local)",
    )
    address: str = Field(default="", description="tcp:// or tls:// address (kind = scheduler)")


def resolve(text: str | Path) -> ClusterSpec:
    """Return the cluster that ``--cluster`` names.

    Parameters
    ----------
    text : str or path
        ``"local"``, ``"in-process"``, the ``tcp://`` or ``tls://`` address of a running
        scheduler, or the path of a TOML file with the fields of `ClusterSpec`.

    Raises
    ------
    SpecError
        If the file has a wrong or misspelt key.
    NotFoundError
        If it is neither of these.
    """
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
        return ClusterSpec.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not TOML: {error}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, path=name) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        msg = f"{path}: key {key!r}: {first['msg']}; {close_matches(key, ClusterSpec.model_fields)}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_KEY, path=name, key=key) from error
