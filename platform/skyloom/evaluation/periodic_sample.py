"""The variable stars of EROS-1 as periodic-class sees them, and which of them train, calibrate and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.evaluation.split import SEED, Parts, parts_of
from skyloom.evaluation.variable_stars import eros1_rows
from skyloom.models import periodic_class

__all__ = ["Sample", "sample"]

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """M stars that have a period, in the order of their ids."""

    arrays: Mapping[str, NDArray[Any]]
    """As `skyloom.models.periodic_class.inputs` makes them: (M, ...)."""
    target: NDArray[np.int64]
    """Place in `CLASSES`, (M,)."""
    parts: Parts
    """Of (M,): the kit's test stars are held out; of the others a hash of the id says what they are for."""
    annotated_d: NDArray[np.float64]
    """Period annotated by people, (M,): for comparison alone."""
    left_out: int
    """Stars that a job would flag and not score."""

    def rows(self, mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Return the arrays of the rows where `mask` (M,) is true."""
        return {name: values[mask] for name, values in self.arrays.items()}


def sample(data: pa.Table | Path | None, config: periodic_class.Config) -> Sample:
    """Prepare the stars as a job would; those that a job flags and does not score are left out.

    Parameters
    ----------
    data : table or path, optional
        As `eros1_rows` gives it, or its folder; default ``$SKYLOOM_DATA``.
    config : Config

    Raises
    ------
    NotFoundError, DataError
        As `eros1_rows`.
    """
    table = data if isinstance(data, pa.Table) else eros1_rows(data)
    curves = pa.RecordBatch.from_arrays([table["lc"].combine_chunks()], names=["lc"])
    made = [
        periodic_class.inputs(config, curves.slice(start, _ROWS_AT_ONCE))
        for start in range(0, curves.num_rows, _ROWS_AT_ONCE)
    ]
    scorable = np.concatenate([part.scorable for part in made])
    kinds = [name.upper() for name in periodic_class.CLASSES]
    target = np.array([kinds.index(kind) for kind in table["kind"].to_pylist()])[scorable]
    ids = table["object_id"].to_numpy()[scorable]
    hashed, is_test = parts_of(ids, seed=SEED), table["is_test"].to_numpy(zero_copy_only=False)[scorable]
    # Of the stars that are not the kit's test stars four fifths train: 0.6 and the hash's last quarter.
    train = ~hashed.calibration & ~is_test
    return Sample(
        arrays={name: np.concatenate([part.arrays[name] for part in made]) for name in made[0].arrays},
        target=target,
        parts=Parts(train, hashed.calibration & ~is_test, is_test),
        annotated_d=table["period_d"].to_numpy()[scorable],
        left_out=int((~scorable).sum()),
    )
