"""Galaxies of a bulge and a disk, as images and a table of their truth.

    python -m skyloom.simulators.galaxies --n 5000 --seed 1 --output DIR [--domain real] [--survey sdss-small]

writes ``DIR/objects.parquet`` and ``DIR/cutouts-00000.parquet``, …: what `skyloom catalog import` and
`skyloom cutouts import` make a catalog with images of. Everything is SIMULATED, the domain
called "real" too: it has what the simple galaxies lack (bulges of any Sersic index, spiral
arms, bars, dust lanes, a PSF that varies, correlated noise), as a real sample would.

A galaxy depends on (seed, domain, index) alone: never on how many are made, or where.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.columns import Column, schema_of
from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.runtime.tensors import tensor_column
from skyloom.simulators.galaxy_images import observe
from skyloom.simulators.galaxy_model import CLASSES, class_of, draw_galaxy
from skyloom.simulators.surveys import SURVEYS, Survey, survey

__all__ = ["DOMAINS", "TRUTH", "Galaxies", "galaxies", "main", "pieces", "write"]

DOMAINS = ("simulated", "real")
_PIECE = 512
_MOST = 10**8
_RA_DEG, _DEC_DEG = (110.0, 260.0), (-5.0, 65.0)

TRUTH = (
    Column("object_id", "", "seed, domain and place of the galaxy in one number", "int64", "meta.id;meta.main"),
    Column("ra", "deg", "right ascension, uniform over part of the sky", "float64", "pos.eq.ra;meta.main"),
    Column("dec", "deg", "declination, uniform over part of the sky", "float64", "pos.eq.dec;meta.main"),
    Column("true_magnitude", "mag", "AB magnitude simulated", "float64", "phot.mag;em.opt"),
    Column("true_bulge_fraction", "", "bulge over all light, L_B/L_T", "float64", "phys.luminosity;arith.ratio"),
    Column("true_class", "", "disk: true_bulge_fraction < 0.45, bulge: > 0.55", "string", "meta.code.class"),
    Column("true_bulge_flux", "nJy", "flux density of the bulge", "float64", "phot.flux;em.opt"),
    Column("true_disk_flux", "nJy", "flux density of the disk", "float64", "phot.flux;em.opt"),
    Column("true_bulge_radius", "arcsec", "half-light radius of the bulge", "float64", "phys.angSize"),
    Column("true_disk_radius", "arcsec", "half-light radius of the disk", "float64", "phys.angSize"),
    Column("true_bulge_axis_ratio", "", "minor over major axis of the bulge", "float64", "src.morph.param"),
    Column("true_disk_axis_ratio", "", "minor over major axis of the disk", "float64", "src.morph.param"),
    Column("true_bulge_angle", "deg", "of the bulge's major axis, from +x to +y", "float64", "pos.posAng"),
    Column("true_disk_angle", "deg", "of the disk's major axis, from +x to +y", "float64", "pos.posAng"),
    Column("true_bulge_sersic", "", "Sersic index of the bulge", "float64", "src.morph.param"),
    Column("true_neighbours", "", "other sources drawn into the image", "int64", "meta.number"),
)  # fmt: skip
"""Columns of the table of truth."""


@dataclass(frozen=True, slots=True, eq=False)
class Galaxies:
    """N galaxies."""

    images: NDArray[np.float32]
    """Shape (N, 1, size, size), nJy per px, sky subtracted."""
    truth: pa.Table
    """N rows with the columns of `TRUTH`."""

    @property
    def label(self) -> NDArray[np.int64]:
        """Place of the true class in `CLASSES`, shape (N,)."""
        return class_of(self.truth["true_bulge_fraction"].to_numpy())

    @property
    def ids(self) -> NDArray[np.int64]:
        """The object ids, shape (N,)."""
        return np.asarray(self.truth["object_id"].to_numpy())


def galaxies(kind: Survey, n: int, *, seed: int, domain: str = "simulated", start: int = 0) -> Galaxies:
    """Draw galaxies `start` to ``start + n`` of a seed and domain.

    Parameters
    ----------
    kind : Survey
        As `skyloom.simulators.surveys.survey` gives it.
    n, start : int
    seed : int
        Not negative.
    domain : str
        One of `DOMAINS`.

    Raises
    ------
    SpecError
        If a number is negative or too large, or there is no such domain.
    NotFoundError
        If galsim is not installed.
    """
    if domain not in DOMAINS:
        msg = f"domain must be one of {', '.join(DOMAINS)}, got {domain!r}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, domain=domain)
    if min(n, seed, start) < 0 or start + n > _MOST or seed >= 10_000:
        msg = f"galaxies {start} to {start + n} of seed {seed}: want 0 to {_MOST}, and a seed from 0 to 9999"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, n=n, seed=seed, start=start)
    images = np.empty((n, 1, kind.size, kind.size), dtype=np.float32)
    rows = [_galaxy(kind, seed, DOMAINS.index(domain), start + i, images[i, 0]) for i in range(n)]
    return Galaxies(images, pa.Table.from_pylist(rows, schema=schema_of(TRUTH)))


def pieces(
    kind: Survey, n: int, *, seed: int, domain: str = "simulated", rows: int = _PIECE
) -> Iterator[Galaxies]:
    """Yield the first `n` galaxies, `rows` at a time: memory stays that of one piece."""
    for start in range(0, n, rows):
        yield galaxies(kind, min(rows, n - start), seed=seed, domain=domain, start=start)


def write(folder: Path, kind: Survey, n: int, *, seed: int, domain: str = "simulated", rows: int = _PIECE) -> None:
    """Write ``objects.parquet`` (truth) and ``cutouts-*.parquet`` (``object_id``, ``cutout``) into `folder`.

    ``cutout`` is a fixed_shape_tensor column of float32 (1, size, size) in nJy.

    Raises
    ------
    SpecError
        ``ALREADY_EXISTS`` if `folder` holds something.
    """
    import pyarrow.parquet as pq

    if folder.exists() and any(folder.iterdir()):
        msg = f"{folder} is not empty; name another folder"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, folder=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(folder / "objects.parquet", schema_of(TRUTH)) as objects:
        for k, piece in enumerate(pieces(kind, n, seed=seed, domain=domain, rows=rows)):
            objects.write_table(piece.truth)
            tensors = pa.table({"object_id": piece.truth["object_id"], "cutout": tensor_column(piece.images)})
            pq.write_table(tensors, folder / f"cutouts-{k:05d}.parquet", compression="none")


def _galaxy(kind: Survey, seed: int, domain: int, index: int, out: NDArray[np.float32]) -> dict[str, Any]:
    """Draw one galaxy into `out` and return its truth."""
    rng = np.random.default_rng([seed, domain, index])
    ra, sin_dec = rng.uniform(*_RA_DEG), rng.uniform(*np.sin(np.deg2rad(_DEC_DEG)))
    real = domain == 1
    galaxy = draw_galaxy(rng, kind, real=real)
    out[:], neighbours = observe(galaxy, kind, rng, real=real)
    return {
        "object_id": (seed * len(DOMAINS) + domain) * _MOST + index,
        "ra": ra,
        "dec": float(np.rad2deg(np.arcsin(sin_dec))),
        "true_magnitude": galaxy.magnitude,
        "true_bulge_fraction": galaxy.bulge_fraction,
        "true_class": CLASSES[int(class_of(galaxy.bulge_fraction))],
        "true_bulge_flux": galaxy.bulge_njy,
        "true_disk_flux": galaxy.disk_njy,
        "true_bulge_radius": galaxy.bulge_arcsec,
        "true_disk_radius": galaxy.disk_arcsec,
        "true_bulge_axis_ratio": galaxy.bulge_axis_ratio,
        "true_disk_axis_ratio": galaxy.disk_axis_ratio,
        "true_bulge_angle": galaxy.bulge_angle_deg,
        "true_disk_angle": galaxy.disk_angle_deg,
        "true_bulge_sersic": galaxy.bulge_sersic,
        "true_neighbours": neighbours,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Write galaxies; return 0, or 2 where the request is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.simulators.galaxies", description=__doc__)
    parser.add_argument("--n", type=int, required=True, help="how many galaxies")
    parser.add_argument("--seed", type=int, default=0, help="0 to 9999")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--domain", choices=DOMAINS, default="simulated", help="both are simulations")
    parser.add_argument("--survey", choices=sorted(SURVEYS), default="sdss-small")
    options = parser.parse_args(argv)
    try:
        write(options.output, survey(options.survey), options.n, seed=options.seed, domain=options.domain)
    except SkyloomError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{options.n} galaxies in {options.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
