"""Which row of a catalog something belongs to: by id, or by position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.catalog import Catalog, read_partition
from skyloom.errors import DataError, ErrorKind, SpecError

__all__ = ["MatchIds", "rows_by_id", "rows_by_position"]


class MatchIds:
    """Finds ids among some that are known.

    Parameters
    ----------
    known : ndarray, shape (N,)
        Integers or texts; of equal ones the first is found.

    Examples
    --------
    >>> MatchIds(np.array([30, 10, 20]))(np.array([10, 15, 20]))
    array([ 1, -1,  2])
    """

    def __init__(self, known: NDArray[Any]) -> None:
        self._order = np.argsort(known, kind="stable")
        self._sorted = known[self._order]

    @property
    def repeated(self) -> NDArray[Any]:
        """Ids that are known more than once."""
        return np.unique(self._sorted[1:][self._sorted[1:] == self._sorted[:-1]])

    def __call__(self, wanted: NDArray[Any]) -> NDArray[np.int64]:
        """Return the place of each wanted id among the known, -1 where there is none."""
        if not len(self._sorted):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        return np.where(self._sorted[at] == wanted, self._order[at], -1).astype(np.int64)


def rows_by_id(catalog: Catalog, ids: list[int | str | None]) -> NDArray[np.int64]:
    """Return the row of each id, counted over the partitions of a catalog; -1 where there is none.

    Parameters
    ----------
    catalog : Catalog
        With an id column of integers or texts.
    ids : list, N ids
        A text of digits is an integer where the catalog's ids are: 64 bits, none lost.

    Raises
    ------
    SpecError
        If the catalog has no id column.
    """
    if catalog.id_column is None:
        msg = f"catalog {catalog.name} has no id column to match by; name one in its descriptor, or use positions"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, catalog=catalog.name)
    found = np.full(len(ids), -1, np.int64)
    wanted: NDArray[Any] | None = None
    first = 0
    for partition in catalog.partitions():
        known = read_partition(catalog.root, partition, [catalog.id_column])[catalog.id_column]
        values = known.to_numpy()
        if wanted is None:
            wanted = _like(values, ids)
        at = MatchIds(values.astype(str) if values.dtype.kind == "O" else values)(wanted)
        found[at >= 0] = first + at[at >= 0]
        first += len(values)
    return found


def _like(known: NDArray[Any], ids: list[int | str | None]) -> NDArray[Any]:
    """Return ids in the type of those of a catalog; one that cannot be of it becomes what no row has."""
    if known.dtype.kind not in "iu":
        return np.array(["" if name is None else str(name) for name in ids], dtype=str)
    texts = [str(name) for name in ids]
    least = int(np.iinfo(known.dtype).min)
    numbers = [int(t) if t.lstrip("-").isdigit() else least for t in texts]
    most = int(np.iinfo(known.dtype).max)
    return np.array([n if least <= n <= most else least for n in numbers], dtype=known.dtype)


def rows_by_position(
    catalog: Catalog, ra: NDArray[np.float64], dec: NDArray[np.float64], radius_arcsec: float
) -> NDArray[np.int64]:
    """Return the row nearest to each position, counted over the partitions of a catalog.

    Parameters
    ----------
    catalog : Catalog
    ra, dec : ndarray, shape (N,)
        ICRS degrees.
    radius_arcsec : float

    Returns
    -------
    ndarray of int64, shape (N,)
        -1 where no row is within the radius. Partitions are read one after another; the
        nearest row may be in any of them.

    Raises
    ------
    SpecError
        If the radius is not positive.
    DataError
        If a position is none on the sky.
    """
    from astropy.coordinates import SkyCoord, match_coordinates_sky

    if not 0 < radius_arcsec <= 3600:
        msg = f"a radius is more than 0 and at most 3600 arcsec, not {radius_arcsec}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    bad = ~(np.isfinite(ra) & (np.abs(dec) <= 90))
    if bad.any():
        msg = (
            f"{int(bad.sum())} of {len(ra)} positions are none on the sky, the first ({ra[bad][0]}, {dec[bad][0]})"
        )
        raise DataError(msg, kind=ErrorKind.BAD_POSITION)
    found, nearest = np.full(len(ra), -1, np.int64), np.full(len(ra), radius_arcsec / 3600.0)
    sky = SkyCoord(ra, dec, unit="deg")
    first = 0
    for partition in catalog.partitions():
        rows = read_partition(catalog.root, partition, [catalog.ra_column, catalog.dec_column])
        if rows.num_rows and len(ra):
            there = SkyCoord(*(rows[n].to_numpy().astype(np.float64) for n in rows.column_names), unit="deg")
            row, away, _ = match_coordinates_sky(sky, there)
            closer = away.deg <= nearest
            found[closer], nearest[closer] = first + row[closer], away.deg[closer]
        first += rows.num_rows
    return found
