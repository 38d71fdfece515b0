"""What a walk over rows keeps: a fair sample, the labelled rows, the best candidates. All bounded."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.active.reading import Chunk
from skyloom.errors import DataError, ErrorKind
from skyloom.evaluation.split import uniform

__all__ = ["Best", "Known", "Sample"]


class Sample:
    """A random sample of rows, the same in whatever order and partitions they come.

    Those with the smallest hashes of id and seed are kept: a reservoir that no order can bias.

    Parameters
    ----------
    rows : int
        To keep, at most; twice as many are held.
    seed : int
    """

    def __init__(self, rows: int, seed: int) -> None:
        self._rows, self._seed = rows, seed
        self._parts: list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._held, self._limit = 0, np.inf

    @property
    def rows(self) -> int:
        """Rows held; 0 if none had a feature."""
        return self._held

    def add(self, chunk: Chunk) -> None:
        """Look at some rows; those without any feature are passed over."""
        there = np.isfinite(chunk.features).any(axis=1)
        key = uniform(chunk.ids.astype(np.uint64), self._seed)
        kept = there & (key < self._limit)
        self._parts.append((key[kept], chunk.ids[kept], chunk.features[kept]))
        self._held += int(kept.sum())
        if self._held > 2 * self._rows:
            self._prune()

    def _prune(self) -> None:
        key, ids, features = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
        if len(key) > self._rows:
            chosen = np.argpartition(key, self._rows)[: self._rows]
            self._limit = float(key[chosen].max())
            key, ids, features = key[chosen], ids[chosen], features[chosen]
        self._parts, self._held = [(key, ids, features)], len(key)

    def features(self) -> NDArray[np.float64]:
        """Return the sample (S, F), by ascending id."""
        self._prune()
        _, ids, features = self._parts[0]
        return features[np.argsort(ids, kind="stable")]


class Known:
    """The features of labelled rows.

    Parameters
    ----------
    ids : collection of int
        That have a label.
    """

    def __init__(self, ids: Collection[int]) -> None:
        self._wanted = np.array(sorted(ids), dtype=np.int64)
        self._found: dict[int, NDArray[np.float64]] = {}

    def add(self, chunk: Chunk) -> None:
        """Look at some rows.

        Raises
        ------
        DataError
            DUPLICATE_ID if a labelled id is there twice: nobody knows which of the rows was meant.
        """
        for k in np.flatnonzero(np.isin(chunk.ids, self._wanted)):
            object_id = int(chunk.ids[k])
            if object_id in self._found:
                msg = f"object {object_id} has a label and is there more than once; ids must be unique for labels"
                raise DataError(msg, kind=ErrorKind.DUPLICATE_ID, object_id=object_id)
            self._found[object_id] = chunk.features[k]

    def features(self, ids: Collection[int]) -> tuple[list[int], list[NDArray[np.float64]]]:
        """Return those of `ids` that were found, ascending, and the features of each."""
        found = [i for i in sorted(ids) if i in self._found]
        return found, [self._found[i] for i in found]


class Best:
    """The rows with the highest scores; of equal ones, the smaller ids.

    Parameters
    ----------
    rows : int
        To keep, at most; twice as many and a batch are held.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], pa.Table]] = []
        self._held, self._limit = 0, -np.inf
        self.seen = 0
        """Rows that had a score."""

    def add(self, score: NDArray[np.float64], chunk: Chunk) -> None:
        """Look at some rows with their scores (N,)."""
        self.seen += len(score)
        kept = score >= self._limit
        others = chunk.others.filter(pa.array(kept))
        self._parts.append((score[kept], chunk.ids[kept], chunk.features[kept], others))
        self._held += int(kept.sum())
        if self._held > 2 * self._rows:
            self._prune()

    def _prune(self) -> None:
        *arrays, tables = zip(*self._parts, strict=True)
        score, ids, features = (np.concatenate(columns) for columns in arrays)
        chosen = np.lexsort((ids, -score))[: self._rows]
        if len(chosen) == self._rows:
            self._limit = float(score[chosen[-1]])
        others = pa.concat_tables(tables).take(pa.array(chosen))
        self._parts = [(score[chosen], ids[chosen], features[chosen], others)]
        self._held = len(chosen)

    def ordered(self) -> tuple[NDArray[np.float64], Chunk]:
        """Return scores and rows, best first."""
        self._prune()
        score, ids, features, others = self._parts[0]
        return score, Chunk(ids, features, others)
