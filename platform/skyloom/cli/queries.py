"""`skyloom query`: SQL over a catalog and its layers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyloom.cli.output import DONE, show_table
from skyloom.errors import ErrorKind, SpecError, close_matches

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
    result = view.query(sql)
    if output is not None:
        write_result(result, output, overwrite=overwrite)
        sys.stderr.write(f"wrote {result.num_rows:,} rows to {output}\n")
        return DONE
    show_table(to_json_rows(result.slice(0, limit)), columns=result.column_names, as_json=json)
    if result.num_rows > limit:
        sys.stderr.write(f"{limit:,} of {result.num_rows:,} rows shown; --limit shows more, --output keeps all\n")
    return DONE


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
