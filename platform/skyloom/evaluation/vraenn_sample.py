"""The supernova-like transients of PLAsTiCC as vraenn sees them: which are common, which rare, which held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyloom.evaluation.plasticc import plasticc_rows
from skyloom.evaluation.split import SEED, Parts, parts_of
from skyloom.models import vraenn

__all__ = ["COMMON", "RARE", "Sample", "sample", "transient_rows"]

COMMON: Mapping[int, str] = {90: "snia", 42: "snii", 62: "snibc"}
"""Codes of ``target``: what Villar et al. 2021 call common."""
RARE: Mapping[int, str] = {95: "slsn", 15: "tde", 64: "kn", 67: "sn91bg", 52: "sniax"}
"""Codes of ``target``; never seen in training."""

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """M transients that can be scored, in the order of their ids."""

    rows: pa.Table
    """As `skyloom.evaluation.plasticc.plasticc_rows` gives them."""
    arrays: Mapping[str, NDArray[Any]]
    """As `skyloom.models.vraenn.inputs` makes them: (M, ...)."""
    target: NDArray[np.int64]
    """Code of the true class, (M,)."""
    parts: Parts
    left_out: int
    """Transients that a job would flag and not score."""

    @property
    def rare(self) -> NDArray[np.bool_]:
        """Whether each is of a rare class, (M,)."""
        return np.isin(self.target, list(RARE))

    def at(self, mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Return the arrays of the rows where `mask` (M,) is true."""
        return {name: values[mask] for name, values in self.arrays.items()}


def transient_rows(data: pa.Table | Path | None) -> pa.Table:
    """Return the rows of the common and the rare classes.

    Parameters
    ----------
    data : table or path, optional
        As `plasticc_rows` gives it, or its folder; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError, DataError
        As `plasticc_rows`.
    """
    table = data if isinstance(data, pa.Table) else plasticc_rows(data)
    return table.filter(pc.is_in(table["target"], pa.array([*COMMON, *RARE], table["target"].type)))


def sample(rows: pa.Table, config: vraenn.Config, *, held_out_only: bool = False) -> Sample:
    """Prepare transients as a job would; those that a job flags and does not score are left out.

    Parameters
    ----------
    rows : pyarrow.Table
        Of `transient_rows`.
    config : Config
    held_out_only : bool
        Whether to prepare the held-out ones alone.
    """
    if held_out_only:
        rows = rows.filter(pa.array(parts_of(rows["object_id"].to_numpy(), seed=SEED).held_out))
    names = [column.name for column in vraenn.reads(config) if not column.child]
    columns = ["lc", *names]
    batch = pa.RecordBatch.from_arrays([rows[name].combine_chunks() for name in columns], names=columns)
    made = [
        vraenn.inputs(config, batch.slice(start, _ROWS_AT_ONCE))
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE)
    ]
    scorable = np.concatenate([part.scorable for part in made])
    rows = rows.filter(pa.array(scorable))
    return Sample(
        rows=rows,
        arrays={name: np.concatenate([part.arrays[name] for part in made]) for name in made[0].arrays},
        target=rows["target"].to_numpy().astype(np.int64),
        parts=parts_of(rows["object_id"].to_numpy(), seed=SEED),
        left_out=int((~scorable).sum()),
    )
