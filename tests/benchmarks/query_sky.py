"""A seeded survey in one corner of the sky, with two layers that jobs made, and all of it pre-joined.

``python -m tests.benchmarks.query_sky FOLDER [--rows 5000000] [--partitions 448]``

Written partition by partition: no more than one of them is in memory. Magnitudes and
signal-to-noise ratios are random, to the millimagnitude and in float32, as catalogs have
them; positions fill each pixel of order 5 evenly.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.jobs import open_catalog, run
from skyloom.jobs.view import CatalogView

__all__ = ["LAYERS", "Survey", "make_survey"]

ORDER = 5
FIRST = 4 * 4**ORDER
"""The first pixel: one of the equatorial base cells begins there."""
BANDS = ("u", "g", "r", "i", "z", "y")
LAYERS = {"blue": ("u", "g", "r"), "red": ("i", "z", "y")}
SCHEMA = pa.schema(
    [
        pa.field("_healpix_29", pa.int64()),
        pa.field("object_id", pa.int64(), metadata={"ucd": "meta.id;meta.main"}),
        pa.field("ra", pa.float64(), metadata={"unit": "deg", "ucd": "pos.eq.ra;meta.main"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg", "ucd": "pos.eq.dec;meta.main"}),
        *(pa.field(f"mag_{band}", pa.float32(), metadata={"unit": "mag"}) for band in BANDS),
        *(pa.field(f"snr_{band}", pa.float32()) for band in BANDS),
    ]
)


@dataclass(frozen=True)
class Survey:
    """Where the parts of the survey lie."""

    folder: Path

    def view(self) -> CatalogView:
        """Return the catalog with both layers, opened anew."""
        return open_catalog(self.folder / "base").with_layers(*LAYERS, store=self.folder / "layers")

    def joined(self) -> CatalogView:
        """Return the catalog that has the columns of the layers as its own, opened anew."""
        return open_catalog(self.folder / "joined")

    def joined_files(self) -> list[str]:
        """Return the files of the pre-joined dataset."""
        return sorted(map(str, (self.folder / "joined").rglob("Npix=*.parquet")))


def make_survey(folder: Path, *, rows: int = 5_000_000, partitions: int = 448) -> Survey:
    """Write the survey below `folder`, unless it is there."""
    survey = Survey(folder)
    if (folder / "joined" / "hats.properties").exists():
        return survey
    counts = np.random.default_rng(0).multinomial(rows, np.full(partitions, 1 / partitions))
    for number, count in enumerate(counts.tolist()):
        _write(folder / "base", FIRST + number, _partition(FIRST + number, count))
    _finish(folder / "base", SCHEMA, counts)
    for layer, bands in LAYERS.items():
        job = folder / f"{layer}.toml"
        names = {kind: str([f"{kind}_{band}" for band in bands]) for kind in ("mag", "snr")}
        job.write_text(
            f'job = "{layer}"\nmodel = "colors"\nlayer = "{layer}"\n[input]\ncatalog = "{folder / "base"}"\n'
            f'[output]\nstore = "{folder / "layers"}"\n'
            f"[model_config]\nmagnitudes = {names['mag']}\nsnrs = {names['snr']}\n"
        )
        run(job, cluster="in-process", progress=False)
    layers = survey.view().layers
    for number in range(partitions):
        table = pq.read_table(_file(folder / "base", FIRST + number), partitioning=None)
        for layer in layers:
            more = pq.read_table(layer.files[number], partitioning=None)
            for column in layer.columns:
                table = table.append_column(more.schema.field(column.name), more[column.name])
        _write(folder / "joined", FIRST + number, table.replace_schema_metadata())
    _finish(folder / "joined", table.schema.remove_metadata(), counts)
    return survey


def _partition(npix: int, rows: int) -> pa.Table:
    """Return the rows of one pixel, in the order of their HEALPix index."""
    from cdshealpix.nested import healpix_to_lonlat

    rng = np.random.default_rng(npix)
    shift = 2 * (29 - ORDER)
    healpix = np.sort((npix << shift) + rng.integers(0, 1 << shift, rows))
    lon, lat = healpix_to_lonlat(healpix.astype(np.uint64), 29)
    columns = {
        "_healpix_29": healpix,
        "object_id": (npix << 32) + rng.permutation(rows),
        "ra": np.asarray(lon.to_value("deg")),
        "dec": np.asarray(lat.to_value("deg")),
    }
    columns |= {f"mag_{b}": np.round(rng.normal(21, 2, rows), 3).astype("f4") for b in BANDS}
    columns |= {f"snr_{b}": rng.lognormal(3, 1, rows).astype("f4") for b in BANDS}
    return pa.table(columns, schema=SCHEMA)


def _file(root: Path, npix: int) -> Path:
    return root / f"dataset/Norder={ORDER}/Dir={npix // 10_000 * 10_000}/Npix={npix}.parquet"


def _write(root: Path, npix: int, table: pa.Table) -> None:
    path = _file(root, npix)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=1, use_dictionary=False)


def _finish(root: Path, schema: pa.Schema, counts: np.ndarray) -> None:
    pq.write_metadata(schema, root / "dataset" / "_common_metadata")
    pixels = "".join(f"{ORDER},{FIRST + number}\n" for number in range(len(counts)))
    (root / "partition_info.csv").write_text(f"Norder,Npix\n{pixels}")
    words = {
        "obs_collection": root.name,
        "dataproduct_type": "object",
        "hats_nrows": counts.sum(),
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": "_healpix_29",
        "hats_col_healpix_order": 29,
        "hats_npix_suffix": ".parquet",
        "hats_max_rows": counts.max(),
        "hats_order": ORDER,
        "hats_version": "v1.0",
    }
    text = "".join(f"{name}={value}\n" for name, value in words.items())
    (root / "hats.properties").write_text(f"#HATS catalog\n{text}")


def main() -> None:
    """Write it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--partitions", type=int, default=448)
    options = parser.parse_args()
    survey = make_survey(options.folder, rows=options.rows, partitions=options.partitions)
    sys.stdout.write(f"{options.rows:,} rows in {len(survey.joined_files())} partitions below {options.folder}\n")


if __name__ == "__main__":
    main()
