"""Write the MiraBest images as a table with positions, which are in the names of their files.

    python catalogs/make_mirabest_table.py $SKYLOOM_DATA/mirabest/mirabest_batches_792_150x150.parquet m.parquet

What to do with it: `catalogs/imports/mirabest.toml`. The folder of the new table is made.

A file is called ``CLASS_RA_DEC.png``, in degrees (J2000). ``mirabest_id`` is the place of the row
in the table read. Images keep their grey levels, 0 to 255, as float32.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def table_of(source: Path) -> pa.Table:
    """Return id, position, label and image of every row.

    Raises
    ------
    ValueError
        If a file's name holds no position.
    """
    rows = pq.read_table(source)
    parts = [name.removesuffix(".png").split("_") for name in rows["filename"].to_pylist()]
    return pa.table(
        {
            "mirabest_id": np.arange(rows.num_rows),
            "ra": [float(part[1]) for part in parts],
            "dec": [float(part[2]) for part in parts],
            "label": rows["label"],
            "image": rows["image_u8"].combine_chunks().cast(pa.list_(pa.float32(), 22500)),
        }
    )


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table_of(Path(sys.argv[1])), target)
