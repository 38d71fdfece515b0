"""Small HATS catalogs for tests: seeded, written with pyarrow alone, valid for hats and lsdb.

Nothing here calls the code under test, so that a test of reading never agrees with a
mistake in writing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BANDS = np.array(["u", "g", "r", "i", "z", "y"])
FIRST_ID = 2**53 + 1
"""Ids start here, odd: one pass through float64 would merge neighbours."""

LC_TYPE = pa.struct(
    [
        pa.field("mjd", pa.list_(pa.float64()), metadata={"unit": "d", "ucd": "time.epoch"}),
        pa.field("flux", pa.list_(pa.float32()), metadata={"unit": "nJy", "ucd": "phot.flux"}),
        pa.field("flux_err", pa.list_(pa.float32()), metadata={"unit": "nJy", "ucd": "stat.error;phot.flux"}),
        pa.field("band", pa.list_(pa.string()), metadata={"ucd": "instr.bandpass"}),
        pa.field("detected", pa.list_(pa.bool_())),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("_healpix_29", pa.int64()),
        pa.field("object_id", pa.int64(), metadata={"ucd": "meta.id;meta.main"}),
        pa.field("ra", pa.float64(), metadata={"unit": "deg", "ucd": "pos.eq.ra;meta.main"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg", "ucd": "pos.eq.dec;meta.main"}),
        pa.field("ddf", pa.bool_()),
        pa.field("hostgal_photoz", pa.float64(), metadata={"ucd": "src.redshift.phot"}),
        pa.field("hostgal_photoz_err", pa.float64(), metadata={"ucd": "stat.error;src.redshift.phot"}),
        pa.field("mwebv", pa.float64(), metadata={"unit": "mag", "ucd": "phot.color.excess"}),
        pa.field("target", pa.int64(), metadata={"ucd": "meta.code.class"}),
        pa.field("lc", LC_TYPE),
    ]
)


def light_curves(rng: np.random.Generator, rows: int, *, longest: int = 60) -> pa.StructArray:
    """Return `rows` light curves of 0 to `longest` points in time order; row 0 is empty."""
    lengths = rng.integers(0, longest + 1, rows)
    if rows:
        lengths[0] = 0
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    points = int(offsets[-1])
    owner = np.repeat(np.arange(rows), lengths)
    mjd = rng.uniform(59_580, 60_674, points)
    mjd = mjd[np.lexsort((mjd, owner))]
    peak, height = rng.uniform(59_700, 60_500, rows)[owner], rng.lognormal(8, 1, rows)[owner]
    flux_err = rng.uniform(20, 200, points)
    flux = height * np.exp(-0.5 * ((mjd - peak) / 30) ** 2) + rng.normal(0, flux_err)
    values = (
        pa.array(mjd),
        pa.array(flux.astype(np.float32)),
        pa.array(flux_err.astype(np.float32)),
        pa.array(BANDS[rng.integers(0, 6, points)].tolist(), pa.string()),
        pa.array(flux > 5 * flux_err),
    )
    lists = [pa.ListArray.from_arrays(pa.array(offsets), value) for value in values]
    return pa.StructArray.from_arrays(lists, fields=list(LC_TYPE))


def objects(rows: int = 240, *, seed: int = 0, longest: int = 60) -> pa.Table:
    """Return `rows` objects, half of them in one crowded field, in (_healpix_29, object_id) order."""
    from hats.pixel_math import compute_spatial_index

    rng = np.random.default_rng(seed)
    crowded = rows // 2
    ra = np.concatenate([rng.uniform(0, 360, rows - crowded), rng.normal(150, 2, crowded)])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, rows - crowded))), rng.normal(2, 2, crowded)])
    photoz = np.where(rng.random(rows) < 0.1, np.nan, rng.uniform(0, 1.5, rows))
    data = {
        "_healpix_29": compute_spatial_index(ra, dec) if rows else np.empty(0, np.int64),
        "object_id": FIRST_ID + rng.permutation(rows),
        "ra": ra,
        "dec": dec,
        "ddf": rng.random(rows) < 0.3,
        "hostgal_photoz": pa.array(photoz, from_pandas=True),
        "hostgal_photoz_err": pa.array(np.where(np.isnan(photoz), np.nan, 0.05), from_pandas=True),
        "mwebv": rng.uniform(0, 0.3, rows),
        "target": rng.choice([42, 52, 62, 90], rows),
        "lc": light_curves(rng, rows, longest=longest),
    }
    table = pa.table({name: data[name] for name in SCHEMA.names}, schema=SCHEMA)
    return table.sort_by([("_healpix_29", "ascending"), ("object_id", "ascending")])


def pixels_of(healpix_29: np.ndarray, threshold: int, highest: int = 8) -> list[tuple[int, int]]:
    """Return (order, npix) of every partition, splitting while one holds more than `threshold` rows."""
    found = []
    todo = [(0, int(npix)) for npix in np.unique(healpix_29 >> 58)]
    while todo:
        order, npix = todo.pop()
        inside = healpix_29[healpix_29 >> (2 * (29 - order)) == npix]
        if len(inside) <= threshold or order == highest:
            found.append((order, npix))
        else:
            children = np.unique(inside >> (2 * (28 - order)))
            todo.extend((order + 1, int(child)) for child in children)
    return sorted(found, key=lambda pixel: (pixel[1] << (2 * (29 - pixel[0])), pixel[0]))


def write_hats(root: Path, table: pa.Table, *, threshold: int = 40, npix_suffix: str = ".parquet") -> Path:
    """Write `table` (with its _healpix_29) as a HATS catalog at `root`, named as the folder is."""
    healpix = table["_healpix_29"].to_numpy()
    pixels = pixels_of(healpix, threshold)
    most = 0
    for order, npix in pixels:
        part = table.filter(pa.array(healpix >> (2 * (29 - order)) == npix))
        most = max(most, part.num_rows)
        folder = root / "dataset" / f"Norder={order}" / f"Dir={npix // 10_000 * 10_000}"
        if npix_suffix == "/":
            folder = folder / f"Npix={npix}"
            half = part.num_rows // 2
            files = {folder / "part0.parquet": part[:half], folder / "part1.parquet": part[half:]}
        else:
            files = {folder / f"Npix={npix}{npix_suffix}": part}
        folder.mkdir(parents=True, exist_ok=True)
        for path, rows in files.items():
            pq.write_table(rows, path, compression="zstd")
    write_face(root, table.schema, pixels, rows=table.num_rows, most=most, npix_suffix=npix_suffix)
    return root


def write_face(
    root: Path,
    schema: pa.Schema,
    pixels: list[tuple[int, int]],
    *,
    rows: int,
    most: int,
    npix_suffix: str = ".parquet",
) -> None:
    """Write the files that make a folder of partitions a catalog; `most` rows are in its largest."""
    (root / "dataset").mkdir(parents=True, exist_ok=True)
    pq.write_metadata(schema, root / "dataset" / "_common_metadata")
    (root / "partition_info.csv").write_text("Norder,Npix\n" + "".join(f"{o},{p}\n" for o, p in pixels))
    (root / "hats.properties").write_text(
        "#HATS catalog\n"
        f"obs_collection={root.name}\n"
        "dataproduct_type=object\n"
        f"hats_nrows={rows}\n"
        "hats_col_ra=ra\nhats_col_dec=dec\n"
        "hats_col_healpix=_healpix_29\nhats_col_healpix_order=29\n"
        f"hats_npix_suffix={npix_suffix}\n"
        f"hats_max_rows={most}\n"
        f"hats_order={max((order for order, _ in pixels), default=0)}\n"
        "hats_version=v1.0\n"
    )


def write_tiny_catalog(
    root: Path, *, rows: int = 240, seed: int = 0, threshold: int = 40, longest: int = 60
) -> Path:
    """Write a catalog of `rows` objects with light curves (about 20 partitions, orders 0 to 5)."""
    return write_hats(root, objects(rows, seed=seed, longest=longest), threshold=threshold)


def empty_partition(root: Path, index: int = 1) -> Path:
    """Take every row out of partition number `index` (a valid state) and return its file."""
    path = sorted((root / "dataset").rglob("Npix=*.parquet"))[index]
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows[:0], path, compression="zstd")
    properties = root / "hats.properties"
    text = properties.read_text()
    before = int(text.split("hats_nrows=")[1].split("\n")[0])
    properties.write_text(text.replace(f"hats_nrows={before}", f"hats_nrows={before - rows.num_rows}"))
    return path
