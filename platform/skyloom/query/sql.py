"""One SELECT over files of a catalog and of its layers that are known already; see `ask`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from skyloom.query.ask import check_source, explain_source, query_source
from skyloom.query.process import Limits
from skyloom.query.source import NO_LAYERS, POSITION, fixed
from skyloom.query.tables import TableFiles
from skyloom.sky import Region

__all__ = ["check_alignment", "explain", "query"]


def query(
    sql: str,
    *,
    base: TableFiles,
    layers: Mapping[str, TableFiles] = NO_LAYERS,
    id_column: str | None,
    healpix_column: str = "_healpix_29",
    position_columns: Sequence[str] = POSITION,
    limits: Limits | None = None,
    aligned: bool = False,
    region: Region | None = None,
) -> pa.Table:
    """Run one SELECT over a catalog and its layers.

    Tables: ``catalog`` has the columns of the base and the new columns of every layer, and
    each layer is a table of its own too, with ``_`` for ``-``. Layers are joined by position;
    a row of a layer whose id or HEALPix index is not that of the base raises, as soon as the
    result depends on it.

    Parameters
    ----------
    sql : str
        One SELECT statement in DuckDB's dialect.
    base, layers : TableFiles, mapping of str to TableFiles
        Files of the catalog, and of each layer by its name.
    id_column : str or None
        Row id of the base; None checks by HEALPix index only.
    healpix_column : str
        HEALPix index of the base; not used where the base has no such column.
    position_columns : sequence of str
        What layers repeat of the base beside id and HEALPix index. These and the keys are
        in ``catalog`` once, from the base.
    limits : Limits
        Memory, time and size of the result.
    aligned : bool
        Leave out the comparison of the keys: only for files that `check_alignment` has
        passed and that nobody has touched since. It makes narrow aggregates several times
        faster, because the keys need not be read.
    region : Region, optional
        Rows outside it are in no table. Files that it does not touch should not be among those given.

    Returns
    -------
    pyarrow.Table
        Result columns that are plain selections keep unit, UCD and description in the field metadata.

    Raises
    ------
    SpecError
        BAD_QUERY for wrong or forbidden SQL, with the close column names; QUERY_LIMIT where a
        limit was hit; BAD_NAME where names clash; BAD_PARAMETER for files that are not local.
    DataError
        ROW_ORDER and ROW_COUNT for a misaligned layer; BAD_FILE for a file that cannot be read.
    """
    source = fixed(
        base,
        layers,
        id_column=id_column,
        healpix_column=healpix_column,
        position_columns=position_columns,
        aligned=aligned,
    )
    return query_source(sql, source, limits=limits, region=region)


def explain(
    sql: str,
    *,
    base: TableFiles,
    layers: Mapping[str, TableFiles] = NO_LAYERS,
    id_column: str | None,
    healpix_column: str = "_healpix_29",
    position_columns: Sequence[str] = POSITION,
    limits: Limits | None = None,
    aligned: bool = False,
    region: Region | None = None,
) -> str:
    """Return DuckDB's plan of a query as text; nothing but file footers is read.

    Parameters and errors are those of `query`.
    """
    source = fixed(
        base,
        layers,
        id_column=id_column,
        healpix_column=healpix_column,
        position_columns=position_columns,
        aligned=aligned,
    )
    return explain_source(sql, source, limits=limits, region=region).text


def check_alignment(
    *,
    base: TableFiles,
    layers: Mapping[str, TableFiles],
    id_column: str | None,
    healpix_column: str = "_healpix_29",
    position_columns: Sequence[str] = POSITION,
    limits: Limits | None = None,
) -> None:
    """Compare the keys of every row of every layer with those of the base.

    Once this has passed, ``query(..., aligned=True)`` over the same files is safe.

    Raises
    ------
    DataError
        ROW_ORDER, ROW_COUNT or BAD_FILE, naming the layer and the first rows that differ.
    SpecError
        As `query`.
    """
    source = fixed(
        base, layers, id_column=id_column, healpix_column=healpix_column, position_columns=position_columns
    )
    if layers:
        check_source(source, limits=limits)
