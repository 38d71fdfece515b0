"""`skyloom query`: SQL over a catalog and its layers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from skyloom.cli.output import DONE, show_json, show_record, show_table, show_text
from skyloom.errors import ErrorKind, SpecError, close_matches

if TYPE_CHECKING:
    import pyarrow as pa

    from skyloom.jobs.asking import Explained
    from skyloom.sky import Region

__all__ = ["query"]

STREAMED_ROWS, STREAMED_BYTES = 100_000_000, 1_000_000_000_000
"""The most that goes to a file which is written as the rows come, unless told."""


def query(
    sql: str,
    /,
    *,
    catalog: str,
    layers: str = "",
    store: str | None = None,
    output: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    cone: tuple[float, float, float] | None = None,
    box: tuple[float, float, float, float] | None = None,
    polygon: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    moc: Path | None = None,
    crossmatch: str | None = None,
    radius: float = 1.0,
    unnest: str = "",
    compare_rows: Annotated[bool, Parameter(negative=())] = False,
    explain: Annotated[bool, Parameter(negative=())] = False,
    limit: int = 50,
    max_rows: int | None = None,
    max_seconds: float = 600.0,
    max_memory: int = 2_000_000_000,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    r"""Run one SELECT over a catalog and its layers (DuckDB, read-only).

    The table `catalog` has all columns of the catalog and of the layers, joined
    by position. Each layer is a table of its own, too, with _ for - in its name.

    in_cone(ra, dec, ra0, dec0, radius), in_box(ra, dec, ra_from, ra_to, dec_from,
    dec_to), in_polygon(ra, dec, ra1, dec1, ...) and in_moc(_healpix_29, 'MOC') say
    whether a row lies in a region, in degrees; joined by AND in a WHERE they choose
    which files are opened, as the options do.

    For example:
        skyloom query "select count(*) from catalog" --catalog plasticc
        skyloom query "select transient_class, count(*) as n from catalog group by 1" \
            --catalog plasticc --layers transient-class --json
        skyloom query "select count(*) from catalog where in_cone(ra, dec, 10.7, 41.3, 1.0)" \
            --catalog gaia --explain
        skyloom query "select object_id, lc from catalog limit 5" --catalog plasticc --unnest lc

    Parameters
    ----------
    sql
        One SELECT statement.
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    layers
        Names or paths of finished layers, with commas between.
    store
        Where the layers lie; the place that the catalog's descriptor names unless told.
    output
        Write the whole result to this file instead of printing it: .parquet, .csv,
        .ecsv, .vot (VOTable) or .fits; units go along where the format has a place for them.
    overwrite
        Replace the file if it exists.
    cone
        Only rows within: right ascension, declination and radius, degrees.
    box
        Only rows from a right ascension east to another, and between two declinations, degrees.
    polygon
        Only rows inside a convex polygon: right ascension and declination of each corner, degrees.
    moc
        Only rows inside a MOC: a FITS, .json or .txt file.
    crossmatch
        Another catalog: the table `catalog` then has one row for each pair that LSDB finds, with the columns of
        both, the other's name at the end of a column that both have, and _dist_arcsec.
    radius
        How far apart the rows of a pair may be, arcseconds.
    unnest
        Nested columns of the result, with commas between, to be given with one row for each of their points.
    compare_rows
        Compare the ids of all rows that are read from layers with the catalog's, too. Otherwise a layer is
        trusted if its files are those that were computed from the catalog's as they are.
    explain
        Print what would be read, of both catalogs of a cross-match, and DuckDB's plan; read nothing but footers.
    limit
        How many rows to print; the query stops after them.
    max_rows
        The most rows that a result may have: 100,000,000 in a .parquet or .csv file, which is written as the rows
        come, 1,000,000 in others, which are gathered in memory.
    max_seconds
        The query is stopped after so long.
    max_memory
        Bytes that the query may take.
    json
        Print a JSON list, for programs.
    """
    from skyloom.query import Limits, start_ahead

    # It imports while this process does, which takes longer.
    start_ahead()
    from skyloom.jobs import open_catalog
    from skyloom.query.stream import STREAMED

    is_streamed = output is not None and output.suffix.lower() in STREAMED
    bounds = {"max_rows": STREAMED_ROWS, "max_bytes": STREAMED_BYTES} if is_streamed else {}
    bounds |= {} if max_rows is None else {"max_rows": max_rows}
    limits = Limits(memory_bytes=max_memory, wall_s=max_seconds, **bounds)
    if output is not None:
        _check(output, overwrite=overwrite)
    view = open_catalog(catalog).with_layers(*_names(layers), store=store)
    region = _region(cone, box, polygon, moc)
    asked: dict[str, Any] = {
        "region": region,
        "limits": limits,
        "unnest": _names(unnest),
        "compare_rows": compare_rows,
    }
    table = view if crossmatch is None else view.crossmatch(open_catalog(crossmatch), radius)
    if explain:
        _show_explained(table.explain(sql, region=region), as_json=json)
        return DONE
    if output is not None:
        rows = table.query_to(output, sql, **asked, overwrite=overwrite)
        sys.stderr.write(f"wrote {rows:,} rows to {output}\n")
        return DONE
    # One more than is shown, to know whether there are more.
    show_result(table.query(sql, **asked, first=limit + 1), limit, as_json=json)
    return DONE


def show_result(result: pa.Table, limit: int, *, as_json: bool) -> None:
    """Print the first rows: with type and unit of each column on a terminal, plain in a pipe."""
    from skyloom.query.render import render, to_json_rows

    shown = result.slice(0, limit)
    if sys.stdout.isatty() and not as_json:
        from rich.console import Console

        Console().print(render(shown, limit))
    else:
        show_table(to_json_rows(shown), columns=result.column_names, as_json=as_json)
    if result.num_rows > limit:
        sys.stderr.write(f"the first {limit:,} rows; there are more: --limit shows them, --output keeps all\n")


def _region(
    cone: tuple[float, float, float] | None,
    box: tuple[float, float, float, float] | None,
    polygon: list[float] | None,
    moc: Path | None,
) -> Region | None:
    """Return the region of the options; at most one of them may be there."""
    from skyloom.sky import Box, Cone, MocRegion, Polygon

    given = [name for name, value in (("cone", cone), ("box", box), ("polygon", polygon), ("moc", moc)) if value]
    if len(given) > 1:
        msg = f"--{given[0]} and --{given[1]} are two regions: give one, or a MOC of both"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if cone is not None:
        return Cone(*cone)
    if box is not None:
        return Box(*box)
    if polygon:
        if len(polygon) % 2:
            msg = f"--polygon takes right ascension and declination of each corner, got {len(polygon)} numbers"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        return Polygon(tuple(zip(polygon[::2], polygon[1::2], strict=True)))
    return None if moc is None else MocRegion.load(moc)


def _show_explained(found: Explained, *, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    show_record(
        {
            "partitions": f"{found.partitions:,} of {found.partitions_of:,}",
            "rows": found.rows,
            "bytes": found.bytes,
        }
    )
    for said in found.regions:
        show_text(said)
    show_text(found.plan)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check(path: Path, *, overwrite: bool) -> None:
    """Refuse what `write_result` would refuse, before the query runs."""
    from skyloom.query.write import RESULT_FORMATS

    if path.suffix.lower() not in RESULT_FORMATS:
        ending = path.suffix or "nothing"
        msg = f"--output {path} ends in {ending}; {close_matches(path.suffix, RESULT_FORMATS)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, path=str(path))
    if path.exists() and not overwrite:
        msg = f"--output {path} exists: choose another name, or add --overwrite"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, path=str(path))
