"""Galaxies that gamornet is trained and scored on: drawn by the simulator, or labelled rows of a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.labelled import LabelledRows
from skyloom.models import gamornet
from skyloom.models.card import Plain
from skyloom.runtime.tensors import tensor_column
from skyloom.simulators.galaxies import galaxies
from skyloom.simulators.surveys import survey

__all__ = [
    "CALIBRATION_START",
    "HELD_OUT_START",
    "SURVEY_OF",
    "Sample",
    "Test",
    "drawn_test",
    "labelled_parts",
    "labelled_test",
    "sample",
]

SURVEY_OF = {"small": "sdss-small", "sdss": "sdss", "candels": "hst"}
CALIBRATION_START, HELD_OUT_START = 10_000_000, 20_000_000
"""First galaxies of these parts; the training part starts at 0."""
_LEAST = 50
"""Labelled galaxies that each part of a catalog must have."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """M scorable galaxies."""

    images: NDArray[np.float32]
    """As `skyloom.models.gamornet.inputs` makes them: (M, 1, size, size)."""
    label: NDArray[np.int64]
    """Place in `CLASSES`, (M,)."""
    raw: NDArray[np.float32]
    """The images before, in nJy: (M, size, size)."""
    truth: pa.Table
    """M rows with the columns of `skyloom.simulators.galaxies.TRUTH`."""


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """What scores are measured on."""

    __test__ = False

    shown: Sample
    """Galaxies that the baselines learn from."""
    held_out: Sample
    sky: str
    """Which galaxies these are, for the name of each score."""
    note: str


def sample(form: str, n: int, *, seed: int, domain: str, start: int = 0) -> Sample:
    """Draw galaxies and prepare them as a job would; those that a job flags are left out."""
    drawn = galaxies(survey(SURVEY_OF[form]), n, seed=seed, domain=domain, start=start)
    whole = pa.array(np.ones(n, dtype=np.float32))
    rows = pa.RecordBatch.from_arrays([tensor_column(drawn.images), whole], names=["cutout", "cutout_coverage"])
    made = gamornet.inputs(gamornet.Config(form=form), rows)
    kept = made.scorable
    truth = drawn.truth.filter(pa.array(kept))
    return Sample(made.arrays["image"], drawn.label[kept], drawn.images[kept, 0], truth)


def drawn_test(training: Mapping[str, Plain]) -> Test:
    """Draw what weights trained on simulations were measured on, from the ``[training]`` of their card.

    Raises
    ------
    SpecError
        If they were trained on a catalog.
    """
    if "catalog" in training:
        msg = (
            f"these weights were trained and scored on labelled rows of {training['catalog']}: name that catalog, "
            f"as in --catalog {training['catalog']} --label {training['label']} --tensors cutout=STORE"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, catalog=training["catalog"])
    form, seed = str(training["recipe.form"]), int(training["seed"])
    n_labels, n_held_out = int(training["recipe.n_labels"]), int(training["recipe.n_held_out"])
    return Test(
        shown=sample(form, n_labels, seed=seed, domain="real"),
        held_out=sample(form, n_held_out, seed=seed, domain="real", start=HELD_OUT_START),
        sky="simulated",
        note="All of ours is on SIMULATED galaxies; reported numbers are of real ones and of larger networks.",
    )


def labelled_parts(rows: LabelledRows) -> tuple[Sample, Sample, Sample]:
    """Return the galaxies of a catalog that train, that calibrate and that are held out.

    Raises
    ------
    DataError
        If a label is none of `skyloom.models.gamornet.CLASSES`, or a part has fewer than 50 galaxies.
    """
    label = rows.places(gamornet.CLASSES)
    images, raw = rows.arrays["image"], rows.tensors["cutout"]
    train, calibration, held_out = (
        Sample(images[part], label[part], raw[part, 0].astype(np.float32), pa.table({}))
        for part in rows.split(least=_LEAST)
    )
    return train, calibration, held_out


def labelled_test(rows: LabelledRows, shown: Sample, held_out: Sample) -> Test:
    """Return what scores on a catalog are measured on."""
    simulated = ", simulated" if rows.simulated else ""
    return Test(
        shown=shown,
        held_out=held_out,
        sky=f"labels of {rows.catalog}{simulated}",
        note=f"Ours is on labelled rows of {rows.catalog}{simulated}, held out by their ids; the networks began "
        "with SIMULATED galaxies; reported numbers are of other galaxies and of larger networks.",
    )
