"""The card of vraenn's weights: scores measured on the held-out transients, everything else from the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from skyloom.evaluation import vraenn as measured
from skyloom.evaluation.split import Parts
from skyloom.evaluation.vraenn_sample import COMMON, RARE, Sample
from skyloom.models import vraenn
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.models.vraenn.curves import PHASES_D, REST_NM
from skyloom.runtime.contract import Weights
from skyloom.training.request import command_of

__all__ = ["card_of"]


def card_of(weights: Weights, rows: pa.Table, whole: Sample, training: Mapping[str, Plain], variant: str) -> Card:
    """Return the card of weights.

    Parameters
    ----------
    weights : Weights
        Of the bundle.
    rows : pyarrow.Table
        Of `skyloom.evaluation.vraenn_sample.transient_rows`.
    whole : Sample
        The set that they were trained on, held-out transients and all.
    training : mapping
        As `skyloom.training.vraenn.train` writes it into the card: seed, recipe, device.
    variant : str
    """
    config = vraenn.Config()
    estimator = vraenn.build(config, weights)
    table = measured.evaluate(estimator, rows, held_out(whole), variant=variant)
    columns = tuple(column.name for column in vraenn.writes(config))
    rare = ", ".join(RARE.values())
    return Card(
        name=vraenn.NAME,
        variant=variant,
        title=vraenn.TITLE,
        question=vraenn.QUESTION,
        source="ads:2021ApJS..255...24V, departures: see the module; PLAsTiCC: doi:10.5281/zenodo.2539456",
        intended_use="Rank supernova-like transients of LSST for inspection and follow-up: the highest scores "
        "first, early if need be by vr_score_t5 to vr_score_t100.",
        limits="High means unlike SN Ia, II and Ibc of PLAsTiCC, not interesting: wrong redshifts, noise and "
        "other surveys' cadences score high too. Classes that resemble common ones are not found (see the "
        "scores by class). vr_z_sd and vr_score_sd are the network's own and miss what it never saw. vr_pct is "
        "relative to the bright training set, and for whole light curves. Settings were chosen among a few on "
        "overlapping objects, so the scores are slightly optimistic.",
        licence="BSD-3-Clause (weights); CC-BY-4.0 (training data)",
        command=command_of(vraenn.NAME, training, data=True),
        evaluate=f"skyloom model evaluate {vraenn.NAME} --data DATA",
        training=training,
        flags={flag.name: flag.description for flag in vraenn.FLAGS},
        reads=tuple(column.name for column in vraenn.reads(config)),
        writes=columns,
        scores=table.scores,
        inputs=(Input("light", (len(PHASES_D), len(REST_NM)), "mag", (), None, vraenn.NORMALISATION),),
        architecture=architecture_of(estimator),
        tolerance={name: vraenn.TOLERANCE[name] for name in columns},
        domain=Domain(
            survey="PLAsTiCC: LSST, three years, simulated",
            bands=config.bands,
            depth="single visits to 24 mag or so, deep drilling fields among them",
            cadence="wide-fast-deep and deep drilling, 10 to 300 points a season in all passbands",
            selection=f"{', '.join(COMMON.values())} bright enough for a spectrum",
            simulated=True,
        ),
        out_of_scope=f"Stars and active galaxies, which were not in training and are none of {rare}; counts of "
        "a class in a population; any single object on which much depends; other surveys, unless encodings of "
        "their own common objects take the place of these.",
        subgroups=table.subgroups,
    )


def held_out(whole: Sample) -> Sample:
    """Return the held-out part of a sample, as a sample."""
    mask = whole.parts.held_out
    none = np.zeros(int(mask.sum()), dtype=bool)
    return replace(
        whole,
        rows=whole.rows.filter(pa.array(mask)),
        arrays=whole.at(mask),
        target=whole.target[mask],
        parts=Parts(none, none, ~none),
    )
