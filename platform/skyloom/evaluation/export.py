"""Networks for other programs: ``torch.export`` or ONNX files, held against the columns that they must give.

A file holds one network: arrays in (see ``inputs`` of its metadata), raw outputs out. What a system does
before and after (cutting, stretching, calibration, sets, p-values) is not in it. A run never opens such a
file: weights are safetensors, which cannot carry code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from skyloom.errors import DataError, ErrorKind, SpecError, close_matches
from skyloom.evaluation.examples import example_rows
from skyloom.evaluation.export_formats import FORMATS, Call
from skyloom.evaluation.parity import Difference, parity
from skyloom.models import registry
from skyloom.models.architecture import architecture_of, build_checked, networks_of
from skyloom.models.card import Card
from skyloom.models.weights import default_variant, load_weights
from skyloom.runtime.contract import System
from skyloom.runtime.device import DeviceSettings, use
from skyloom.runtime.scoring import score

if TYPE_CHECKING:
    import torch

    from skyloom.runtime.networks import Network

__all__ = ["Exported", "Subject", "export", "export_networks"]

_ROWS = 48


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how far its columns are from the system's own."""

    files: tuple[Path, ...]
    parity: tuple[Difference, ...]
    rows: int
    """Rows compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is exported: a system, and its estimator, whose networks are *replaced* by those of the files."""

    system: System
    config: Any
    estimator: Any
    card: Card
    digest: str
    """Of the weights."""


def export(
    name: str,
    variant: str | None = None,
    *,
    kind: str,
    output: Path,
    settings: Mapping[str, Any] | None = None,
) -> Exported:
    """Write the networks of a system, and prove that its columns are the same with them.

    Parameters
    ----------
    name : str
        A system with networks.
    variant : str, optional
        Which weights: a name, or the path of their folder; default: the first.
    kind : str
        ``"pt2"`` or ``"onnx"``.
    output : path
        File to write. A system of several networks gets one file each, their places put into the name.
    settings : mapping, optional
        Of the system's config.

    Raises
    ------
    SpecError
        If the system has no network, a file is there already, or the card states no tolerance.
    NotFoundError
        If there are no such weights, or the libraries for the format are not installed.
    DataError
        ``MODEL_OUTPUT`` if a column is further away than the card's tolerance: nothing is written.
    """
    system = registry.system(name)
    config = system.Config(**(settings or {}))
    chosen = variant or default_variant(name)
    if chosen is None:
        msg = f"model {name} learns nothing: there is no network to export"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
    card, weights = load_weights(name, chosen)
    with use(DeviceSettings(device="cpu", threads=1)):
        estimator = build_checked(system, config, (card, weights))
        return export_networks(Subject(system, config, estimator, card, weights.digest), kind=kind, output=output)


def export_networks(subject: Subject, *, kind: str, output: Path) -> Exported:
    """Write the networks of an estimator; see `export`."""
    if kind not in FORMATS:
        msg = f"there is no format {kind!r}: {close_matches(kind, FORMATS)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, format=kind)
    networks = networks_of(subject.estimator)
    if not networks:
        msg = f"model {subject.system.NAME} has no network to export"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=subject.system.NAME)
    targets = _targets(output, tuple(networks))
    rows = example_rows(subject.system, subject.config, _ROWS)
    calls, own = _watched(subject, networks, rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as folder:
        about = {place: _metadata(subject, place, calls[place]) for place in networks}
        written = {place: Path(folder) / target.name for place, target in targets.items()}
        for place, network in networks.items():
            network.module = FORMATS[kind](network.module, calls[place], written[place], about[place])
        found = parity(own, _scored(subject, rows), subject.card.tolerance)
        over = [each for each in found if not each.tolerated]
        if over:
            listed = "; ".join(f"{p.column} by {p.measured:.3g} (at most {p.tolerance:g})" for p in over)
            msg = f"as {kind}, columns of {subject.system.NAME} differ from its own: {listed}. Nothing was written"
            raise DataError(msg, kind=ErrorKind.MODEL_OUTPUT, model=subject.system.NAME)
        for place, path in written.items():
            path.replace(targets[place])
    return Exported(tuple(targets.values()), found, rows.num_rows)


def _targets(output: Path, places: tuple[str, ...]) -> dict[str, Path]:
    several = len(places) > 1
    targets = {p: output.with_name(f"{output.stem}-{p}{output.suffix}") if several else output for p in places}
    there = [path for path in targets.values() if path.exists()]
    if there:
        msg = f"{there[0]} is there already; name another file"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, file=str(there[0]))
    return targets


def _scored(subject: Subject, rows: pa.RecordBatch) -> pa.RecordBatch:
    columns, faults = score(
        subject.system, subject.estimator, subject.config, rows, layer="export", batch_rows=rows.num_rows
    )
    if faults:
        msg = f"model {subject.system.NAME} raised on row {faults[0].row}: {faults[0].message}"
        raise DataError(msg, kind=ErrorKind.MODEL_OUTPUT, model=subject.system.NAME)
    return columns


def _watched(
    subject: Subject, networks: Mapping[str, Network], rows: pa.RecordBatch
) -> tuple[dict[str, Call], pa.RecordBatch]:
    """Score rows and keep the tile that each network got, and the shapes that it gave."""
    calls: dict[str, Call] = {}

    def watch(place: str) -> Any:
        def seen(module: Any, args: Any, kwargs: dict[str, torch.Tensor], output: Any) -> None:
            named = output if isinstance(output, dict) else {"out": output}
            inputs = {name: tensor.detach().clone() for name, tensor in kwargs.items()}
            shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
            calls.setdefault(place, Call(inputs, shapes, isinstance(output, dict)))

        return networks[place].module.register_forward_hook(seen, with_kwargs=True)

    hooks = [watch(place) for place in networks]
    try:
        own = _scored(subject, rows)
    finally:
        for hook in hooks:
            hook.remove()
    idle = [place for place in networks if place not in calls]
    if idle:
        msg = f"no row of {subject.system.NAME} reached its network {idle[0]}: there is nothing to compare"
        raise DataError(msg, kind=ErrorKind.MODEL_OUTPUT, model=subject.system.NAME)
    return calls, own


def _metadata(subject: Subject, place: str, call: Call) -> dict[str, Any]:
    """Return what a file says of itself; `rows` is added by who writes it."""
    card = subject.card
    return {
        "skyloom": _version(),
        "model": card.name,
        "variant": card.variant,
        "network": place,
        "architecture": architecture_of(subject.estimator)[place],
        "card_sha256": hashlib.sha256(card.to_toml().encode()).hexdigest(),
        "weights_digest": subject.digest,
        "inputs": {
            name: {"shape": ["rows", *tensor.shape[1:]], "type": str(tensor.dtype).removeprefix("torch.")}
            for name, tensor in call.inputs.items()
        },
        "outputs": {name: ["rows", *shape[1:]] for name, shape in call.outputs.items()},
        "made_from": [dataclasses.asdict(each) for each in card.inputs],
        "columns": {column.name: column.unit for column in subject.system.writes(subject.config)},
        "tolerance": dict(card.tolerance),
        "intended_use": card.intended_use,
        "out_of_scope": card.out_of_scope,
        "limits": card.limits,
        "licence": card.licence,
    }


def _version() -> str:
    try:
        return version("skyloom")
    except PackageNotFoundError:
        return "unknown: a source tree that is not installed"
