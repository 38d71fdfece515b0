"""Labelled rows of a catalog, to train or to measure on: as inference would get them, with what they truly are.

Who reads them lies above (`skyloom.jobs.labelled`); a system that learns from catalogs takes a
`LabelledSource` for its data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind
from skyloom.evaluation.split import SEED, parts_of
from skyloom.runtime.contract import System

__all__ = ["LabelledRows", "LabelledSource", "is_labelled"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """M rows of a catalog that a system scores and that have a label; one per object."""

    arrays: Mapping[str, NDArray[Any]]
    """As the system's ``inputs`` makes them; first axis M. May lie on disk, mapped into memory."""
    tensors: Mapping[str, NDArray[Any]]
    """As the stores have them, before ``inputs``; px without data are NaN."""
    label: NDArray[np.str_]
    """Shape (M,): the label column as text."""
    ids: NDArray[np.uint64]
    """Shape (M,): what objects are told apart by; all different."""
    left_out: Mapping[str, int]
    """How many of the other rows have each of the system's flags, or no label."""
    catalog: str
    snapshot: str
    column: str
    """Where the labels stand."""
    simulated: bool
    """Whether whoever named the catalog says that its rows are simulated."""
    bands: tuple[str, ...] = ()
    """Of the tensors, where their stores say."""

    def places(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """Return the place of each row's label among `classes`, shape (M,).

        Raises
        ------
        DataError
            If a label is none of them; the message lists those.
        """
        other = sorted(set(self.label.tolist()) - set(classes))
        if other:
            shown = ", ".join(map(repr, other[:8])) + (f", and {len(other) - 8} more" if len(other) > 8 else "")
            msg = (
                f"column {self.column!r} of catalog {self.catalog} holds {shown}; the labels of this system are "
                f"{', '.join(classes)}. Leave a row's label null to leave the row out"
            )
            raise DataError(msg, kind=ErrorKind.BAD_ROW, column=self.column)
        return np.array([list(classes).index(label) for label in self.label.tolist()], dtype=np.int64)

    def split(self, *, least: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows that train, that calibrate and that are held out, each in a fixed random order.

        A row's part is a hash of its id; the order follows from the ids alone. So neither the
        catalog's order nor its partitions matter.

        Parameters
        ----------
        least : int
            Rows that each part must have.

        Raises
        ------
        DataError
            If a part has fewer; the message says why rows were left out.
        """
        order = np.random.default_rng(SEED).permutation(np.argsort(self.ids))
        parts = parts_of(self.ids[order], seed=SEED)
        found = order[parts.train], order[parts.calibration], order[parts.held_out]
        if min(map(len, found)) < least:
            out = ", ".join(f"{name} {n}" for name, n in self.left_out.items() if n) or "none"
            msg = (
                f"catalog {self.catalog} has {' / '.join(str(len(part)) for part in found)} usable labelled rows "
                f"to train / calibrate / hold out, and each part needs {least}; rows left out: {out}"
            )
            raise DataError(msg, kind=ErrorKind.ROW_COUNT, catalog=self.catalog)
        return found


class LabelledSource(Protocol):
    """Where labelled rows come from."""

    def read(self, system: System, config: Any, folder: Path) -> LabelledRows:
        """Read all labelled rows that `system` scores, through the readers of a job.

        Parameters
        ----------
        system : System
        config : Config
            Of the system.
        folder : path
            Where arrays may be kept while they are used.
        """
        ...


def is_labelled(data: object) -> TypeGuard[LabelledSource]:
    """Whether `data` are a `LabelledSource`, rather than a table or a folder."""
    return hasattr(data, "read") and not isinstance(data, Path)
