"""Where the tables of a query come from: schemas at once, files when the regions of the query are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from skyloom.query.tables import TableFiles, Tables, local_path
from skyloom.sky import Region

__all__ = ["NO_LAYERS", "POSITION", "Chosen", "Source", "fixed"]

NO_LAYERS: Mapping[str, TableFiles] = MappingProxyType({})
POSITION = ("ra", "dec")


@dataclass(frozen=True)
class Chosen:
    """The files that one query reads."""

    base: TableFiles
    layers: Mapping[str, TableFiles]
    aligned: frozenset[str] = frozenset()
    """Layers whose rows are known to be the base's, row by row: their keys are not read and compared."""
    partitions: int = 0
    """How many they are of; 0 where nobody counted."""


@dataclass(frozen=True)
class Source:
    """A catalog and its layers, before anything of a query is known."""

    base: pa.Schema
    layers: Mapping[str, pa.Schema]
    id_column: str | None
    healpix_column: str
    position_columns: Sequence[str]
    """The last two are right ascension and declination."""
    choose: Callable[[Sequence[Region], frozenset[str]], Chosen]
    """From regions that all rows lie in, and the layers that ``catalog`` needs, to the files to read."""
    index_column: str = ""
    """The HEALPix index, if it is of order 29."""

    def tables(self, chosen: Chosen | None = None) -> Tables:
        """Return the tables, checked against each other; of the names and schemas alone before files are chosen.

        Raises
        ------
        SpecError, DataError
            See `Tables.of`.
        """
        found = chosen or Chosen(_bare(self.base), {name: _bare(schema) for name, schema in self.layers.items()})
        return Tables.of(
            _local(found.base),
            {name: _local(layer) for name, layer in found.layers.items()},
            id_column=self.id_column,
            healpix_column=self.healpix_column,
            position_columns=self.position_columns,
        )


def fixed(
    base: TableFiles,
    layers: Mapping[str, TableFiles],
    *,
    id_column: str | None,
    healpix_column: str,
    position_columns: Sequence[str],
    aligned: bool = False,
) -> Source:
    """Return a source that has the same files for every query."""
    chosen = Chosen(base, layers, frozenset(layers) if aligned else frozenset())
    return Source(
        base=base.schema,
        layers={name: layer.schema for name, layer in layers.items()},
        id_column=id_column,
        healpix_column=healpix_column,
        position_columns=position_columns,
        choose=lambda _regions, _used: chosen,
        index_column=healpix_column,
    )


def _bare(schema: pa.Schema) -> TableFiles:
    return TableFiles((), (), schema)


def _local(table: TableFiles) -> TableFiles:
    return TableFiles(tuple(local_path(file) for file in table.files), table.rows, table.schema)
