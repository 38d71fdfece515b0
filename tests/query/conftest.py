"""A small catalog with two layers, written by seeded code, for the queries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.columns import Column
from skyloom.query import TableFiles, query

# Rows of each file: an empty partition, and one of two files; ids are above 2^53.
FILES = {
    "Norder=1/Dir=0/Npix=3.parquet": 40,
    "Norder=1/Dir=0/Npix=7.parquet": 0,
    "Norder=1/Dir=0/Npix=9/part-0.parquet": 25,
    "Norder=1/Dir=0/Npix=9/part-1.parquet": 15,
    "Norder=0/Dir=0/Npix=11.parquet": 60,
}
FIRST_ID = 2**63 + 1


@dataclass(frozen=True)
class Sky:
    """Base and layers, as tables in memory and as files."""

    root: Path
    whole: dict[str, pa.Table]
    base: TableFiles
    layers: dict[str, TableFiles]

    def query(self, sql: str, **kwargs: Any) -> pa.Table:
        settings: dict[str, Any] = {"base": self.base, "layers": self.layers, "id_column": "object_id"}
        return query(sql, **(settings | kwargs))

    def digest(self) -> str:
        every = sorted(path for path in self.root.rglob("*") if path.is_file())
        return hashlib.sha256(b"".join(str(p).encode() + p.read_bytes() for p in every)).hexdigest()


def write_files(table: pa.Table, root: Path, *, layer: bool = False) -> TableFiles:
    """Write `table` cut by FILES; a layer has one file per partition."""
    files: list[str] = []
    rows: list[int] = []
    start = 0
    sizes = dict(FILES)
    if layer:
        sizes = {}
        for path, n in FILES.items():
            partition = path.partition("/part-")[0].removesuffix(".parquet") + ".parquet"
            sizes[partition] = sizes.get(partition, 0) + n
    for path, n in sizes.items():
        file = root / "dataset" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(start, n), file)
        start += n
        files.append(str(file))
        rows.append(n)
    return TableFiles(tuple(files), tuple(rows), table.schema)


def make_tables(seed: int = 0) -> dict[str, pa.Table]:
    rng = np.random.default_rng(seed)
    n = sum(FILES.values())
    keys = [
        pa.array(np.arange(n, dtype=np.uint64) + np.uint64(FIRST_ID)),
        pa.array(rng.uniform(0, 360, n)),
        pa.array(rng.uniform(-90, 90, n)),
        pa.array(np.sort(rng.integers(0, 12 * 4**29, n))),
    ]
    key_fields = [
        Column("object_id", dtype="uint64", description="Row id", ucd="meta.id;meta.main").field(),
        Column("ra", "deg", "Right ascension, ICRS", dtype="float64", ucd="pos.eq.ra;meta.main").field(),
        Column("dec", "deg", "Declination, ICRS", dtype="float64", ucd="pos.eq.dec;meta.main").field(),
        Column("_healpix_29", dtype="int64").field(),
    ]
    lengths = rng.integers(0, 4, n)
    nested = pa.struct(
        [
            Column("mjd", "d", dtype="list<float64>").field(),
            Column("flux", "nJy", "Flux density", dtype="list<float32>").field(),
            Column("band", dtype="list<string>").field(),
        ]
    )
    lc = [
        {"mjd": [59000.0 + i for i in range(k)], "flux": [float(i) for i in range(k)], "band": ["g"] * k}
        for k in lengths
    ]
    base = pa.table(
        [
            *keys,
            pa.array(rng.normal(size=n).astype("f4")),
            pa.array(["=cmd|' /C calc'!A0", "b"] * (n // 2)),
            pa.array(lc, nested),
        ],
        schema=pa.schema(
            [
                *key_fields,
                Column("flux", "nJy", "Mean flux", ucd="phot.flux").field(),
                Column("name", dtype="string").field(),
                pa.field("lc", nested),
            ]
        ),
    )
    scores = pa.table(
        [
            *keys,
            pa.array(np.arange(n, dtype="f4")),
            pa.array([None if i % 3 else i for i in range(n)], pa.uint32()),
        ],
        schema=pa.schema(
            [*key_fields, Column("score", "", "A score").field(), Column("my_scores_flag", dtype="uint32").field()]
        ),
    )
    period = pa.table(
        [*keys, pa.array(rng.uniform(0.1, 10, n).astype("f4"))],
        schema=pa.schema([*key_fields, Column("period", "d", "Period").field()]),
    )
    return {"base": base, "my-scores": scores, "period": period}


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    root = tmp_path_factory.mktemp("sky")
    whole = make_tables()
    layers = {name: write_files(whole[name], root / name, layer=True) for name in ("my-scores", "period")}
    return Sky(root, whole, write_files(whole["base"], root / "base"), layers)


@pytest.fixture
def moved(sky: Sky, tmp_path: Path) -> Callable[[pa.Table], Sky]:
    """A maker of the sky with another `my-scores` layer."""

    def make(table: pa.Table) -> Sky:
        return replace(sky, layers={"my-scores": write_files(table, tmp_path / "moved", layer=True)})

    return make
