"""Measure the scores of a card again, from the stored weights and the published data."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.plasticc import plasticc_table
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import gamornet, registry, transient_anomaly, transient_class
from skyloom.models.weights import load_weights

__all__ = ["evaluate"]


def evaluate(
    name: str,
    variant: str | None = None,
    data: pa.Table | str | Path | None = None,
    *,
    root: Path | None = None,
) -> ScoreTable:
    """Score the held-out objects with stored weights, beside the baselines and reported numbers.

    Parameters
    ----------
    name : str
        A system that learns.
    variant : str, optional
        Which weights; default: the first.
    data : table or path, optional
        A table as `plasticc_table` gives it, or the folder of the published files
        (default ``$SKYLOOM_DATA``); of no use to a system that simulates its own.
    root : path, optional
        Folder of bundles; default: the shipped ones.

    Raises
    ------
    SpecError
        If there is no such model, or it learns nothing.
    NotFoundError
        If there are no such weights or data; the message says how to get them.
    """
    system = registry.system(name)
    if name not in {gamornet.NAME, transient_class.NAME, transient_anomaly.NAME}:
        msg = f"model {name} learns nothing: there is nothing to evaluate"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=name)
    card, weights = load_weights(name, variant, root=root)
    if name == gamornet.NAME:
        from skyloom.evaluation import gamornet as measured_gamornet

        form = str(card.training["form"])
        networks = gamornet.build(gamornet.Config(form=form), weights)
        return measured_gamornet.evaluate(networks, weights, card.training, variant=card.variant, form=form)
    table = data if isinstance(data, pa.Table) else plasticc_table(data)
    estimator = system.build(system.Config(), weights)
    seed = int(card.training["split_seed"])
    if name == transient_class.NAME:
        from skyloom.evaluation import transient_class as measured_class

        return measured_class.evaluate(estimator, table, variant=card.variant, seed=seed)
    from skyloom.evaluation import transient_anomaly as measured_anomaly

    return measured_anomaly.evaluate(estimator, table, variant=card.variant, seed=seed)
