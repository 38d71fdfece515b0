"""Measure the scores of a card again, from the stored weights and the published data."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.labelled import LabelledSource, is_labelled
from skyloom.evaluation.measured import measure_of
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import registry
from skyloom.models.weights import load_weights
from skyloom.runtime.device import DeviceSettings, use

__all__ = ["evaluate"]


def evaluate(
    name: str,
    variant: str | None = None,
    data: pa.Table | LabelledSource | str | Path | None = None,
    *,
    root: Path | None = None,
    device: DeviceSettings | None = None,
) -> ScoreTable:
    """Score the held-out objects with stored weights, beside the baselines and reported numbers.

    Parameters
    ----------
    name : str
        A system that learns.
    variant : str, optional
        Which weights; default: the first.
    data : table, LabelledSource or path, optional
        The set that objects were held out of, or its folder (default ``$SKYLOOM_DATA``); of no use
        to a system that simulates its own.
    root : path, optional
        Folder of bundles; default: the shipped ones.
    device : DeviceSettings, optional
        Where networks compute; default: the CPU, with one thread.

    Raises
    ------
    SpecError
        If there is no such model, or it learns nothing.
    NotFoundError
        If there are no such weights or data; the message says how to get them.
    """
    module = measure_of(name)
    if is_labelled(data) and not getattr(module, "CATALOGS", False):
        msg = f"model {name} is not measured on labelled catalogs; leave --catalog out"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
    card, weights = load_weights(name, variant, root=root)
    with use(device or DeviceSettings("cpu", threads=1)):
        return module.measure(registry.system(name), card, weights, Path(data) if isinstance(data, str) else data)
