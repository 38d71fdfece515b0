"""Train a system by name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.plasticc import plasticc_table
from skyloom.models import registry
from skyloom.models.card import Card

__all__ = ["LEARNING", "train"]

LEARNING = ("transient-anomaly", "transient-class")
"""Systems that learn from PLAsTiCC's files."""

SIMULATED = ("gamornet",)
"""Systems that simulate what they learn from."""


def train(
    name: str, data: pa.Table | str | Path | None, out_dir: str | Path, *, seed: int = 0, variant: str = "plasticc"
) -> Card:
    """Train the system called `name` and write its bundle.

    Parameters
    ----------
    name : str
    data : table or path, optional
        A table with the feature columns (``lightcurve-features`` with ``transient = true``), the
        metadata, ``object_id`` and ``target``; or the folder of PLAsTiCC's files (default
        ``$SKYLOOM_DATA``).
    out_dir : path
        Gets ``card.toml`` and ``model.safetensors``; made where it is missing.
    seed : int
        Of the training; the split by object has its own, fixed one.
    variant : str
        Name of these weights.

    Returns
    -------
    Card
        With the scores on held-out objects.

    Raises
    ------
    SpecError
        If there is no such model, or it learns nothing.
    NotFoundError
        If there are no data; the message says how to get them.
    """
    registry.system(name)
    if name in SIMULATED:
        if data is not None:
            msg = f"model {name} simulates its training set; leave `data` out"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
        from skyloom.training import gamornet

        return gamornet.train(Path(out_dir), seed=seed, variant=variant)
    if name not in LEARNING:
        msg = f"model {name} learns nothing: there is nothing to train"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
    table = data if isinstance(data, pa.Table) else plasticc_table(data)
    if name == "transient-class":
        from skyloom.training import transient_class

        return transient_class.train(table, Path(out_dir), seed=seed, variant=variant)
    from skyloom.training import transient_anomaly

    return transient_anomaly.train(table, Path(out_dir), seed=seed, variant=variant)
