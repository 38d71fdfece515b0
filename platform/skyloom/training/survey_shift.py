"""Train survey-shift: align MACHO's labelled stars with EROS-1's, and grow trees on the aligned ones.

    skyloom model train survey-shift --data DATA --output DIR

No label of the target is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation import survey_shift as measured
from skyloom.evaluation.adaptation import adapt
from skyloom.evaluation.alignment import AlignmentConfig
from skyloom.evaluation.calibration import fit_multiclass
from skyloom.evaluation.domains import fit_domain_classifier
from skyloom.evaluation.scores import ScoreTable
from skyloom.evaluation.split import SEED, parts_of
from skyloom.evaluation.survey_tables import SHARED, Pair, columns_pair, real_pair
from skyloom.models import survey_shift
from skyloom.models.boosted import BoostedTrees
from skyloom.models.card import Card, Domain, Plain
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.training.boosting import fit_boosting, tree_arrays
from skyloom.training.learners import TrainRequest
from skyloom.training.novelty import fit_novelty

__all__ = ["Recipe", "train"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of the alignment (see `skyloom.evaluation.alignment.AlignmentConfig`) and of the trees."""

    per_class: int = 2
    steps: int = 15
    share_labels: bool = False
    own_scale_sd: float = 0.05
    own_shift_sd: float = 0.1
    angle_sd: float = 0.03
    members: int = 3
    """Boosted ensembles."""
    rounds: int = 60
    """Of boosting, of each ensemble."""
    simulated_rows: int = 2000
    """Stars of each survey of the simulated pair that is measured; 0 for none."""
    simulated_seed: int = 5

    def __post_init__(self) -> None:
        if min(self.members, self.rounds) < 1 or min(self.simulated_rows, self.simulated_seed) < 0:
            msg = f"members and rounds are positive, simulated_rows and simulated_seed not negative, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    @property
    def alignment(self) -> AlignmentConfig:
        """Settings of the alignment."""
        names = {field.name for field in dataclasses.fields(self)} & set(AlignmentConfig.__dataclass_fields__)
        return AlignmentConfig(**{name: getattr(self, name) for name in names})


def train(request: TrainRequest, recipe: Recipe) -> Card:
    """Align, grow, calibrate, and write the bundle.

    Parameters
    ----------
    request : TrainRequest
        Its data are the folder above those of the surveys, or a table as
        `skyloom.evaluation.survey_tables.columns_pair` has it.
    recipe : Recipe

    Returns
    -------
    Card
        With the scores on stars of the target.

    Raises
    ------
    NotFoundError
        If the data are not there.
    SpecError
        As `skyloom.evaluation.alignment.fit_alignment`.
    """
    config = survey_shift.Config()
    request.say("reading surveys")
    own = isinstance(request.data, pa.Table)
    pair = columns_pair(request.data, config) if own else real_pair(measured.SHIPPED, _folder(request.data))
    others = () if own else tuple(real_pair(name, _folder(request.data)) for name in SHARED if name != pair.name)
    request.say("aligning")
    found = adapt(pair.source, pair.label, pair.target, recipe.alignment, seed=request.seed)
    mapped = found.mapped(pair.source, pair.label)
    request.say("growing trees")
    arrays: dict[str, NDArray[Any]] = {
        **{f"space.{name}": getattr(found.space, name) for name in ("centre", "width", "linear", "offset")},
        **found.alignment.to_arrays(),
        **_trees(pair, mapped.astype(np.float32), recipe, request.seed),
        **fit_domain_classifier(pair.source, pair.target).to_arrays(),
    }
    estimator = survey_shift.build(config, Weights(arrays, {}, ""))
    request.say("measuring scores")
    table = measured.evaluate(
        estimator, pair, others, measured.Simulation(recipe.simulated_rows, recipe.simulated_seed),
        recipe.alignment, variant=request.variant, seed=request.seed,
    )  # fmt: skip
    training: dict[str, Plain] = {
        "data": "a table of one's own"
        if own
        else "MACHO variable stars with classes (Jamal & Bloom 2020); EROS-1 variable stars without",
        "simulated": False,
        "split": "trees: by star of the source, hash of its id; the target has no labels in training",
        "split_seed": SEED,
        "n_train": len(pair.source),
        "n_target": len(pair.target),
        "features": ", ".join(pair.names),
        "start": found.start,
        "objective_first": found.objective[0],
        "objective_last": found.objective[-1],
        "objective_steps": len(found.objective) - 1,
        **request.record(recipe),
    }
    return write_bundle(request.output, _card(request, training, table), arrays)


def _folder(data: Any) -> str | None:
    return None if data is None else str(data)


def _trees(pair: Pair, mapped: NDArray[np.float32], recipe: Recipe, seed: int) -> dict[str, NDArray[Any]]:
    """Grow trees on mapped source rows, classes weighing the same; calibrate and fit novelty on those left out."""
    parts = parts_of(pair.source_id)
    learnt, held = parts.train | parts.held_out, parts.calibration
    label = pair.label[learnt]
    count = np.bincount(label, minlength=len(pair.classes))
    weight = len(label) / (len(count) * np.fmax(count, 1))[label]
    models = [
        fit_boosting(mapped[learnt], label, weight, rounds=recipe.rounds, seed=recipe.members * seed + k)
        for k in range(recipe.members)
    ]
    arrays = tree_arrays(models, mapped.shape[1])
    scores = BoostedTrees.of_arrays(arrays, mapped.shape[1]).scores(mapped[held]).mean(axis=1)
    scale, bias = fit_multiclass(scores, pair.label[held])
    columns = np.arange(mapped.shape[1], dtype=np.int64)
    novelty = fit_novelty(mapped, pair.label, columns, learnt, held)
    return {**arrays, "calibration": np.array([scale, *bias]), **novelty.to_arrays()}


def _card(request: TrainRequest, training: Mapping[str, Plain], table: ScoreTable) -> Card:
    config = survey_shift.Config()
    return Card(
        name=survey_shift.NAME,
        variant=request.variant,
        title=survey_shift.TITLE,
        question=survey_shift.QUESTION,
        source="ads:2017ApJ...845..147B (the mixture), arXiv:1511.05547 (CORAL); departures: see the module",
        intended_use="Sort variable stars of EROS-1 into eclipsing binaries, Cepheids, RR Lyrae stars and "
        "long-period variables with classes from MACHO alone; a template for other pairs of surveys.",
        limits="Both surveys look at the Large Magellanic Cloud. Periods are taken as found: daily aliases differ "
        "from survey to survey, which no affine map of features undoes. Probabilities are calibrated on mapped "
        "source rows, with the source's shares of classes: on the target they are too sure. shift_domain says "
        "that nearly every row is of the target, because it is. Components are not physical. shift_p_sd is "
        "the spread of three ensembles on one alignment, and misses what the alignment got wrong.",
        licence="BSD-3-Clause (weights); MACHO data are in the public domain, EROS-1 light curves carry no "
        "licence; neither is shipped",
        command=request.command(survey_shift.NAME, data=True),
        evaluate=f"skyloom model evaluate {survey_shift.NAME} --data DATA",
        training=training,
        flags={flag.name: flag.description for flag in survey_shift.FLAGS},
        reads=tuple(column.name for column in survey_shift.reads(config)),
        writes=tuple(column.name for column in survey_shift.writes(config)),
        scores=table.scores,
        domain=Domain(
            survey="MACHO (labels), EROS-1 (target), Large Magellanic Cloud",
            bands=("b", "r"),
            depth="13 to 21 mag",
            cadence="MACHO: 100 to 1,500 points in 8 years; EROS-1: some 120 nights in 2.5 years",
            selection="variable stars that people or pipelines classified",
            simulated=False,
        ),
        priors=table.priors,
        out_of_scope="Surveys at another distance or in other passbands without training again; counts of a class "
        "in a population; any single star on which much depends.",
        subgroups=table.subgroups,
    )
