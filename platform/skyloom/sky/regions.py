"""Regions of the sky: which partitions one can touch, and which rows are inside.

Angles are degrees, positions ICRS. Coverage comes from MOCPy, of the CDS; it may be larger than
the region and is never smaller. Which rows are inside is said as an SQL expression over
columns that a catalog has, so that the rows themselves never leave the database.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError

__all__ = ["Box", "Cone", "MocRegion", "Polygon", "Region", "touched"]

DEPTH = 29
"""HEALPix order of the index that rows are sorted by."""
COVERAGE_DEPTH = 12
"""Cells of 51": finer than any partition, and few."""
MAX_CELLS = 200_000


class Region(Protocol):
    """A part of the sky."""

    def ranges(self) -> NDArray[np.uint64]:
        """Return ranges [first, stop) of HEALPix cells of order 29, shape (N, 2), that cover the region."""
        ...

    def sql(self, ra: str, dec: str, healpix: str | None) -> str:
        """Return an SQL condition that is true of rows inside.

        Parameters
        ----------
        ra, dec : str
            Quoted names of the position's columns, degrees.
        healpix : str or None
            Quoted name of the HEALPix index of order 29, where there is one.
        """
        ...


def touched(region: Region, pixels: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return which HEALPix pixels a region may have rows in.

    Parameters
    ----------
    region : Region
    pixels : sequence of (int, int)
        Orders and nested pixel numbers.
    """
    ranges = region.ranges()
    shifts = np.array([2 * (DEPTH - order) for order, _ in pixels], dtype=np.uint64)
    numbers = np.array([npix for _, npix in pixels], dtype=np.uint64)
    first = numbers << shifts
    stop = (numbers + np.uint64(1)) << shifts
    # The first range that ends behind the pixel's beginning is the only one that may touch it first.
    nearest = np.searchsorted(ranges[:, 1], first, side="right")
    there = nearest < len(ranges)
    found = np.zeros(len(pixels), dtype=bool)
    found[there] = ranges[nearest[there], 0] < stop[there]
    return found


@dataclass(frozen=True, slots=True)
class Cone:
    """All within an angle of a position.

    Raises
    ------
    SpecError
        If the position is not one, or the radius is not in (0, 180] degrees.
    """

    ra: float
    dec: float
    radius_deg: float

    def __post_init__(self) -> None:
        _check_position(self.ra, self.dec)
        if not 0.0 < self.radius_deg <= 180.0:
            raise _wrong(f"a cone's radius is in (0, 180] degrees, got {self.radius_deg}")

    def ranges(self) -> NDArray[np.uint64]:
        """See `Region.ranges`."""
        from astropy.coordinates import Latitude, Longitude
        from mocpy import MOC

        lon, lat = Longitude(self.ra, "deg"), Latitude(self.dec, "deg")
        depth = min(DEPTH, max(COVERAGE_DEPTH, _depth_of(self.radius_deg)))
        return _ranges(MOC.from_cone(lon, lat, radius=_degrees(self.radius_deg), max_depth=depth))

    def sql(self, ra: str, dec: str, healpix: str | None) -> str:
        """See `Region.sql`; by the haversine, which is exact for small radii."""
        most = math.sin(math.radians(self.radius_deg) / 2.0) ** 2
        return (
            f"pow(sin(radians({dec} - {self.dec!r}) / 2), 2) + cos(radians({dec})) * "
            f"{math.cos(math.radians(self.dec))!r} * pow(sin(radians({ra} - {self.ra!r}) / 2), 2) <= {most!r}"
        )


@dataclass(frozen=True, slots=True)
class Box:
    """Between two right ascensions, eastwards from the first, and two declinations; limits belong to it.

    Raises
    ------
    SpecError
        If the limits are not positions, or the declinations are not in order.
    """

    ra_from: float
    ra_to: float
    dec_from: float
    dec_to: float

    def __post_init__(self) -> None:
        _check_position(self.ra_from, self.dec_from)
        _check_position(self.ra_to, self.dec_to)
        if self.dec_from >= self.dec_to or self.ra_from == self.ra_to:
            raise _wrong(
                f"a box goes from a lower to a higher declination and east from one right ascension to another, "
                f"got ra {self.ra_from} to {self.ra_to}, dec {self.dec_from} to {self.dec_to}"
            )

    def ranges(self) -> NDArray[np.uint64]:
        """See `Region.ranges`."""
        from astropy.coordinates import SkyCoord
        from mocpy import MOC

        corners = SkyCoord([self.ra_from, self.ra_to], [self.dec_from, self.dec_to], unit="deg")
        # Cells whose centres are inside are not all that touch: one ring of neighbours is added.
        return _ranges(MOC.from_zone(corners, max_depth=COVERAGE_DEPTH).add_neighbours())

    def sql(self, ra: str, dec: str, healpix: str | None) -> str:
        """See `Region.sql`."""
        join = "AND" if self.ra_from < self.ra_to else "OR"
        east = f"({ra} >= {self.ra_from!r} {join} {ra} <= {self.ra_to!r})"
        return f"{dec} BETWEEN {self.dec_from!r} AND {self.dec_to!r} AND {east}"


@dataclass(frozen=True, slots=True)
class Polygon:
    """Inside great circles between corners: convex, smaller than a hemisphere, either way round.

    Raises
    ------
    SpecError
        If there are fewer than three corners, or they do not make such a polygon.
    """

    corners: tuple[tuple[float, float], ...]
    """Right ascension and declination of each, degrees."""
    _normals: tuple[tuple[float, float, float], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.corners) < 3:
            raise _wrong(f"a polygon has at least three corners, got {len(self.corners)}")
        for ra, dec in self.corners:
            _check_position(ra, dec)
        at = np.array([_vector(ra, dec) for ra, dec in self.corners])
        normals = np.cross(at, np.roll(at, -1, axis=0))
        sides = at @ normals.T  # of every corner to every edge
        sides[np.abs(sides) < 1e-15] = 0.0
        if (sides <= 0.0).all():
            normals, sides = -normals, -sides
        others = [sides[(k + 2 + j) % len(at), k] for k in range(len(at)) for j in range(len(at) - 2)]
        if min(others) <= 0.0 or (at.sum(axis=0) @ at.T <= 0.0).any():
            msg = (
                "the corners make no convex polygon that is smaller than a hemisphere; give them in their order "
                "along its edge, and cut a polygon that is not convex into some that are, or give it as a MOC"
            )
            raise _wrong(msg)
        object.__setattr__(self, "_normals", tuple(map(tuple, normals.tolist())))

    def ranges(self) -> NDArray[np.uint64]:
        """See `Region.ranges`."""
        from astropy.coordinates import Latitude, Longitude
        from mocpy import MOC

        ra, dec = np.array(self.corners).T
        lon, lat = Longitude(ra, "deg"), Latitude(dec, "deg")
        return _ranges(MOC.from_polygon(lon, lat, max_depth=COVERAGE_DEPTH).add_neighbours())

    def sql(self, ra: str, dec: str, healpix: str | None) -> str:
        """See `Region.sql`."""
        x = f"cos(radians({dec})) * cos(radians({ra}))"
        y = f"cos(radians({dec})) * sin(radians({ra}))"
        z = f"sin(radians({dec}))"
        return " AND ".join(f"{a!r} * {x} + {b!r} * {y} + {c!r} * {z} >= 0" for a, b, c in self._normals)


@dataclass(frozen=True, slots=True)
class MocRegion:
    """What a multi-order coverage map covers.

    Raises
    ------
    SpecError
        If it has more than 200,000 cells.
    """

    moc: Any
    """A `mocpy.MOC`."""

    def __post_init__(self) -> None:
        cells = len(self.moc.uniq_hpx)
        if cells > MAX_CELLS:
            raise _wrong(f"the MOC has {cells:,} cells, at most {MAX_CELLS:,} are taken: degrade_to_order() it")

    @classmethod
    def load(cls, path: str | Path) -> MocRegion:
        """Read a MOC file: FITS, JSON or ASCII by the ending of its name.

        Raises
        ------
        NotFoundError
            If there is no such file.
        DataError
            If it is no MOC.
        """
        from mocpy import MOC

        path = Path(path)
        if not path.is_file():
            msg = f"there is no MOC {path}"
            raise NotFoundError(msg, kind=ErrorKind.BAD_FILE, file=str(path))
        kind = {".json": "json", ".txt": "ascii", ".ascii": "ascii"}.get(path.suffix.lower(), "fits")
        try:
            return cls(MOC.load(str(path), format=kind))
        except (ValueError, OSError) as error:
            msg = f"{path} is no MOC ({kind}, by its name): {error}"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=str(path)) from error

    @classmethod
    def parse(cls, text: str) -> MocRegion:
        """Read a MOC in ASCII, such as ``3/5 8-11 7/12345``.

        Raises
        ------
        SpecError
            If it is none.
        """
        from mocpy import MOC

        try:
            return cls(MOC.from_string(text))
        except (ValueError, OSError) as error:
            shown = text if len(text) <= 80 else text[:80] + "..."
            raise _wrong(f"{shown!r} is no MOC in ASCII, such as '3/5 8-11 7/12345'") from error

    def ranges(self) -> NDArray[np.uint64]:
        """See `Region.ranges`."""
        return _ranges(self.moc)

    def sql(self, ra: str, dec: str, healpix: str | None) -> str:
        """See `Region.sql`; by cells, so it takes the HEALPix index.

        Raises
        ------
        SpecError
            If there is no such column.
        """
        if healpix is None:
            raise _wrong("a MOC is compared with the HEALPix index of rows, and the catalog has none")
        by_depth: dict[int, list[int]] = {}
        for number in map(int, self.moc.uniq_hpx):
            depth = (number.bit_length() - 3) // 2
            by_depth.setdefault(depth, []).append(number - (4 << (2 * depth)))
        cells = [
            f"({healpix} >> {2 * (DEPTH - depth)}) IN ({', '.join(map(str, numbers))})"
            for depth, numbers in sorted(by_depth.items())
        ]
        return " OR ".join(cells) or "false"


def _ranges(moc: Any) -> NDArray[np.uint64]:
    return np.asarray(moc.to_depth29_ranges, dtype=np.uint64).reshape(-1, 2)


def _depth_of(radius_deg: float) -> int:
    """Return the order whose cells are about a fourth of a radius."""
    return math.ceil(math.log2(58.6 / (radius_deg / 4.0)))


def _degrees(value: float) -> Any:
    import astropy.units as u

    return value * u.deg


def _vector(ra: float, dec: float) -> tuple[float, float, float]:
    a, d = math.radians(ra), math.radians(dec)
    return math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)


def _check_position(ra: float, dec: float) -> None:
    if not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0):
        raise _wrong(f"right ascension is in [0, 360] and declination in [-90, 90] degrees, got {ra}, {dec}")


def _wrong(what: str) -> SpecError:
    return SpecError(what, kind=ErrorKind.BAD_PARAMETER)
