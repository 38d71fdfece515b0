"""A training run on disk: everything that its next epoch depends on, in one file.

The file is safetensors: weights, optimiser and generators as tensors, the rest as JSON in its
header. Nothing is pickled, and reading it executes nothing. It is replaced at once, so a crash
leaves the old one or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, SpecError

if TYPE_CHECKING:
    import torch

__all__ = [
    "CHECKPOINT",
    "Checkpoint",
    "load_optimiser",
    "optimiser_arrays",
    "read_checkpoint",
    "replace_file",
    "write_checkpoint",
]

CHECKPOINT = "checkpoint.safetensors"
_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where a run stands after an epoch."""

    run: Mapping[str, Any]
    """Which run: its config, and digests of the untrained module and of the examples."""
    state: Mapping[str, Any]
    """What JSON can hold."""
    arrays: Mapping[str, NDArray[Any]]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write, or replace, the checkpoint of a folder; the file appears when all of it is on disk."""
    from safetensors.numpy import save

    header = {"version": _VERSION, "run": checkpoint.run, "state": checkpoint.state}
    data = save(dict(checkpoint.arrays), metadata={"skyloom": json.dumps(header)})
    return replace_file(folder / CHECKPOINT, data)


def read_checkpoint(folder: Path, run: Mapping[str, Any]) -> Checkpoint | None:
    """Read the checkpoint of a folder; None where there is none.

    Parameters
    ----------
    folder : path
    run : mapping
        As `Checkpoint.run`: what the checkpoint must belong to.

    Raises
    ------
    DataError
        ``BAD_FILE`` if the file is torn or not ours.
    SpecError
        If it belongs to another run; the message says what differs.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        arrays = load(data)
        # As the format has it: 8 bytes of length, then a JSON header.
        head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        header = json.loads(head["__metadata__"]["skyloom"])
        there = Checkpoint(header["run"], header["state"], arrays)
        version = header["version"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} is torn or no checkpoint of ours ({error}); remove it and start over"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error
    asked = json.loads(json.dumps(run))
    if version != _VERSION or there.run != asked:
        names = sorted(
            name for name in {*asked, *there.run} if asked.get(name, "none") != there.run.get(name, "none")
        )
        differ = "; ".join(f"{n} was {there.run.get(n, 'none')}, is {asked.get(n, 'none')}" for n in names)
        msg = (
            f"{path} is of another run: {differ or f'it has version {version} of the format, not {_VERSION}'}. "
            "Resume with what it was begun with, or remove it and start over"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, file=str(path))
    return there


def optimiser_arrays(optimiser: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return an optimiser's moments as arrays ``optimiser.<parameter>.<name>``."""
    return {
        f"optimiser.{parameter}.{name}": value.detach().cpu().numpy().copy()
        for parameter, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }


def load_optimiser(optimiser: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put the moments of `optimiser_arrays` back; settings and learning rates are left alone."""
    import torch

    state: dict[int, dict[str, Any]] = {}
    for key, values in arrays.items():
        kind, _, rest = key.partition(".")
        if kind == "optimiser":
            parameter, _, name = rest.partition(".")
            state.setdefault(int(parameter), {})[name] = torch.tensor(values)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def replace_file(path: Path, data: bytes) -> Path:
    """Write a file, or replace one at once: readers, and crashes, see all of the old or of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path
