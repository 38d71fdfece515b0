"""With which numbers a job's networks compute, and where: part of what a job is.

Class of the device, precision, memory order and tile change last bits. So work done with others
is other work, and a worker refuses to compute on another class of device than was planned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from skyloom.engine import Journal
from skyloom.errors import ConflictError, ErrorKind
from skyloom.evaluation.numerics import Difference
from skyloom.runtime.device import DeviceSettings, device_class
from skyloom.storage import Store

__all__ = ["CPU", "MEASURED", "Numerics", "agreed", "check_class", "elsewhere", "shown"]

CPU = "cpu"
MEASURED = "numerics.json"
"""Beside a job's records, create-once: what the first driver that finished the job had measured."""


@dataclass(frozen=True, slots=True)
class Numerics:
    """What networks compute with; part of what a job is."""

    device_class: str
    """``"cpu"``, or ``"cuda "`` and the model of the GPU."""
    precision: str
    channels_last: bool
    tile_rows: int
    differences: tuple[Difference, ...] = ()
    """From plain float32 on a CPU, measured before the run; empty where that is what is computed."""

    @property
    def on_gpu(self) -> bool:
        """Whether networks compute on a GPU."""
        return self.device_class != CPU

    @property
    def settings(self) -> DeviceSettings:
        """What estimators are built with, on the machine that computes."""
        return DeviceSettings(
            device="cuda" if self.on_gpu else "cpu",
            precision=self.precision,  # type: ignore[arg-type]  # was checked when it was asked for
            channels_last=self.channels_last,
            tile_rows=self.tile_rows,
            threads=1,
        )

    def identity(self) -> dict[str, Any]:
        """Return what belongs to the job's identity, as JSON; `from_identity` undoes it."""
        values = asdict(self)
        del values["differences"]
        return values

    @classmethod
    def from_identity(cls, values: Mapping[str, Any]) -> Numerics:
        """Read what `identity` gave."""
        return cls(**values)

    def measured(self) -> dict[str, list[float]]:
        """Return the differences as JSON: measured and tolerated, by column."""
        return {each.column: [each.measured, each.tolerance] for each in self.differences}


def shown(numerics: Numerics | None) -> dict[str, Any]:
    """Return what a plan prints: of a model without networks, that it computes on the CPU."""
    if numerics is None:
        return {"device": CPU, "threads": 1}
    return {
        "device": numerics.device_class,
        "precision": numerics.precision,
        "channels_last": numerics.channels_last,
        "tile_rows": numerics.tile_rows,
        "threads": numerics.settings.threads,
    }


def check_class(numerics: Numerics) -> None:
    """Refuse to compute on another class of device than was planned.

    Raises
    ------
    ConflictError
        Naming both.
    SpecError
        If the plan says GPU and there is none.
    """
    if not numerics.on_gpu:
        return
    found = device_class(numerics.settings)
    if found != numerics.device_class:
        msg = (
            f"this worker computes on {found!r} and the run was planned for {numerics.device_class!r}: their last "
            "bits differ. Give the run workers of one kind ($CUDA_VISIBLE_DEVICES hides a GPU), or run it anew"
        )
        raise ConflictError(msg, kind=ErrorKind.BAD_PARAMETER, device=found)


def agreed(numerics: Numerics | None, journal: Journal) -> dict[str, Any]:
    """Return what provenance says of measured differences; nothing where plain float32 was computed.

    All drivers of a job say the same, whatever the machine of each one measured.
    """
    if numerics is None or not numerics.differences:
        return {}
    name = journal.name(MEASURED)
    found = json.loads(journal.store.read(name)) if journal.store.exists(name) else numerics.measured()
    return {"differences_from_float32": found}


def elsewhere(store: Store, layer: str, identity: Mapping[str, Any], job_id: str) -> str | None:
    """Return what to say of an earlier job that differs from this one in its numerics alone, or None.

    Nothing is searched where this job was begun before.
    """
    if identity.get("numerics") is None or store.exists(f"{layer}/jobs/{job_id}/job.json"):
        return None
    here = identity["numerics"]
    found: list[tuple[int, bool, str, dict[str, Any]]] = []
    for other in store.names(f"{layer}/jobs"):
        name = f"{layer}/jobs/{other}/job.json"
        if not store.exists(name):
            continue
        stated = json.loads(store.read(name)).get("identity", {})
        there = stated.get("numerics")
        if there and _without(stated) == _without(identity):
            is_sealed = store.exists(f"{layer}/jobs/{other}/manifest.json")
            found.append((sum(there.get(key) != here[key] for key in here), is_sealed, other, there))
    if not found:
        return None
    _, is_sealed, other, there = min(found)  # the most like this one; of two such, the one that is not finished
    return _said(there, here, f"{'finished' if is_sealed else 'unfinished'} job {other}", layer)


def _without(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in identity.items() if key != "numerics"}


def _said(there: Mapping[str, Any], here: Mapping[str, Any], job: str, layer: str) -> str:
    changed = [
        f"{key} {there.get(key)!r}, not {value!r}" for key, value in here.items() if there.get(key) != value
    ]
    moved = there.get("device_class") != here["device_class"]
    way = f"where there is {there.get('device_class')!r}" if moved else "with the same in [run]"
    return (
        f"{job} of layer {layer} is this one but for {'; '.join(changed)}. Other last bits are other work: this "
        f"run computes every row and takes up nothing of it. To take that one up, run it {way}"
    )
