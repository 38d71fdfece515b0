"""`skyloom rank`: what to look at next, with the labels so far."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyloom.cli.output import DONE, show_json, show_table

__all__ = ["rank"]

Words = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def rank(
    layer: str,
    /,
    *,
    store: str | None = None,
    loop: str = "anomaly",
    budget: float = 20.0,
    batch: float | None = None,
    cost: str = "",
    features: Words = None,
    strategy: str = "uncertainty",
    forest: str = "aad",
    interesting: Words = None,
    labelled: Annotated[bool, Parameter(negative=())] = False,
    labels: str | None = None,
    seed: int = 0,
    output: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Rank the objects of a layer by how much they deserve to be looked at next.

    The labels beside the layer (`skyloom label`) teach the ranking. Loop anomaly: an isolation
    forest that learns from anomaly and normal which oddness is of interest. Loop followup: a classifier
    that learns from names of classes, and asks for what it is least sure of, within a budget.

    For example:
        skyloom rank lightcurve-features --store layers --loop anomaly --budget 20
        skyloom rank lightcurve-features --store layers --loop followup --budget 40 --batch 10 \
            --strategy uncertainty --output tonight.parquet

    Parameters
    ----------
    layer
        A layer's name in --store, or its directory.
    store
        The folder or URL where layers lie.
    loop
        anomaly or followup.
    budget
        What there is to spend: a number of objects, or the unit of --cost. Never exceeded.
    batch
        What one batch, such as a night, may cost.
    cost
        A column of the layer with the cost of each object.
    features
        Columns to learn from: names, or patterns such as "lcf_*_g"; all numbers of the layer unless told.
    strategy
        Of loop followup: uncertainty, margin, entropy, disagreement, or random, the control.
    forest
        Of loop anomaly: aad, pine, or isolation, which looks at no label.
    interesting
        Classes that count as anomalies in loop anomaly; every other class then counts as normal.
    labelled
        Rank objects that have a label, too.
    labels
        Another folder with labels than the layer's own.
    seed
        Of the forest, the sample and the random control.
    output
        Write the ranking to this file: .parquet (with its provenance), .csv, .ecsv, .vot or .fits.
    overwrite
        Replace the file if it exists.
    json
        Print JSON with ranking and provenance, for programs.
    """
    from skyloom.active import LabelStore, RankRequest
    from skyloom.active import rank as rank_layer
    from skyloom.active.anomaly import Forest
    from skyloom.jobs import open_layer
    from skyloom.query.render import to_json_rows

    request = RankRequest(
        loop=loop,
        budget=budget,
        batch=batch,
        cost=cost,
        features=tuple(features or ()),
        strategy=strategy,
        forest=Forest(forest),
        interesting=tuple(interesting or ()),
        labelled=labelled,
        seed=seed,
    )
    ranking = rank_layer(open_layer(layer, store), request, None if labels is None else LabelStore.open(labels))
    if output is not None:
        ranking.write(output, overwrite=overwrite)
        sys.stderr.write(f"wrote {ranking.table.num_rows:,} rows to {output}\n")
    rows = to_json_rows(ranking.table)
    if json:
        show_json({"ranking": rows, "provenance": ranking.provenance})
        return DONE
    show_table(rows, columns=ranking.table.column_names)
    sys.stderr.write(ranking.summary + "\n")
    return DONE
