"""`skyloom query`: SQL over a catalog and its layers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from skyloom.cli.output import DONE, show_json, show_record, show_table, show_text
from skyloom.errors import ErrorKind, SpecError, close_matches

if TYPE_CHECKING:
    from skyloom.jobs.view import Explained
    from skyloom.sky import Region

__all__ = ["query"]


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
    explain: Annotated[bool, Parameter(negative=())] = False,
    limit: int = 50,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    r"""Run one SELECT over a catalog and its layers (DuckDB, read-only).

    The table `catalog` has all columns of the catalog and of the layers, joined
    by position and checked by row id. Each layer is a table of its own, too,
    with _ for - in its name.

    For example:
        skyloom query "select count(*) from catalog" --catalog plasticc
        skyloom query "select transient_class, count(*) as n from catalog group by 1" \
            --catalog plasticc --layers transient-class --json
        skyloom query "select count(*) from catalog" --catalog gaia --cone 10.7 41.3 1.0 --explain

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
    explain
        Print what would be read and DuckDB's plan; read nothing but footers.
    limit
        How many rows to print.
    json
        Print a JSON list, for programs.
    """
    from skyloom.jobs import open_catalog
    from skyloom.query.render import to_json_rows
    from skyloom.query.write import write_result

    if output is not None:
        _check(output, overwrite=overwrite)
    view = open_catalog(catalog).with_layers(*_names(layers), store=store)
    region = _region(cone, box, polygon, moc)
    if explain:
        _show_explained(view.explain(sql, region=region), as_json=json)
        return DONE
    result = view.query(sql, region=region)
    if output is not None:
        write_result(result, output, overwrite=overwrite)
        sys.stderr.write(f"wrote {result.num_rows:,} rows to {output}\n")
        return DONE
    show_table(to_json_rows(result.slice(0, limit)), columns=result.column_names, as_json=json)
    if result.num_rows > limit:
        sys.stderr.write(f"{limit:,} of {result.num_rows:,} rows shown; --limit shows more, --output keeps all\n")
    return DONE


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
