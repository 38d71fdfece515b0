"""Cross-validation by object: every row of an object is in one fold, and classes are dealt out evenly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError

__all__ = ["first_of_each", "folds_of"]


def folds_of(objects: Sequence[str], target: NDArray[np.integer], *, folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, shape (N,).

    Within a class, objects are put in the order of a hash of their names and dealt out in turn, each
    class where the one before it ended: folds differ by one object at most, within a class as in all.
    The order of the rows has no influence.

    Parameters
    ----------
    objects : sequence of str
        Name of each row's object.
    target : ndarray of integers, shape (N,)
        Class of each row; one for all rows of an object.
    folds, seed : int

    Raises
    ------
    SpecError
        If an object has two classes, or a class has fewer objects than there are folds.
    """
    classes: dict[str, int] = {}
    for name, label in zip(objects, target.tolist(), strict=True):
        if classes.setdefault(name, label) != label:
            msg = f"object {name} has the classes {classes[name]} and {label}: it cannot be split by object"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, object=name)
    fold: dict[str, int] = {}
    for label in sorted(set(classes.values())):
        names = [name for name, its in classes.items() if its == label]
        if len(names) < folds:
            msg = f"class {label} has {len(names)} objects; {folds} folds need at least as many"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, folds=folds)
        for name in sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest()):
            fold[name] = len(fold) % folds
    return np.array([fold[name] for name in objects], dtype=np.int64)


def first_of_each(objects: Sequence[str], order: NDArray[np.number]) -> NDArray[np.bool_]:
    """Return which rows are the first of their object, by least `order` (N,): one row an object."""
    first: dict[str, int] = {}
    for row in np.argsort(order, kind="stable").tolist():
        first.setdefault(objects[row], row)
    return np.isin(np.arange(len(objects)), list(first.values()))
