"""`skyloom catalog`: import, describe, check, list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter

from skyloom.cli.output import DONE, FAILED, show_json, show_record, show_table, show_title
from skyloom.errors import ErrorKind, SpecError

if TYPE_CHECKING:
    from skyloom.catalog import Description
    from skyloom.catalog.spec import ImportSpec

__all__ = ["app"]

app = cyclopts.App(
    name="catalog",
    help="Import foreign tables to HATS; describe, check and list catalogs.",
    help_epilogue="",
)
Json = Annotated[bool, Parameter(negative=())]


@app.command(name="import")
def import_(
    *tables: str,
    output: Path | None = None,
    name: str | None = None,
    ra: str = "ra",
    dec: str = "dec",
    id: str | None = None,  # noqa: A002 (the option is called --id)
    json: Json = False,
) -> int:
    """Import tables that somebody else made (FITS, CSV, ECSV, VOTable, Parquet) as a HATS catalog.

    An import file says everything: units, sentinels, light curves in a second table.
    One table of objects needs only options.

    For example:
        skyloom catalog import catalogs/imports/plasticc.toml --output hats/plasticc
        skyloom catalog import vsx.parquet --ra RAJ2000 --dec DEJ2000 --output hats/vsx
        skyloom catalog import night1.fits night2.fits --id OBJID --output hats/nights

    Parameters
    ----------
    tables
        One import file (.toml), or the files of one table of objects.
    output
        The directory to make.
    name
        The catalog's name; that of the directory unless told.
    ra
        Column with right ascension in degrees.
    dec
        Column with declination in degrees.
    id
        Column that names a row; a row number is made unless told.
    json
        Print what was made as JSON, for programs.
    """
    from skyloom.catalog.ingest import import_catalog
    from skyloom.catalog.spec import load_import_spec

    if len(tables) == 1 and tables[0].endswith(".toml"):
        changes = {} if output is None else {"output": str(output)}
        spec = load_import_spec(tables[0], **changes)
    else:
        spec = _spec_of_options(tables, output, name, {"ra": ra, "dec": dec, "id": id})
    _show(import_catalog(spec).describe(), as_json=json)
    return DONE


def _spec_of_options(
    tables: tuple[str, ...], output: Path | None, name: str | None, objects: dict[str, str | None]
) -> ImportSpec:
    from skyloom.catalog.descriptor import validated
    from skyloom.catalog.spec import ImportSpec

    if not tables or output is None:
        msg = "name at least one table, and the directory to make with --output; or one import file (.toml)"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    if objects["id"] is None:
        objects = {**objects, "row_number": "row_number"}
    spec = {"name": name or output.name, "output": str(output), "objects": {"files": tables, **objects}}
    return validated(ImportSpec, spec, "the options")


@app.command
def describe(catalog: str, /, *, json: Json = False) -> int:
    """Print what a catalog holds: rows, partitions, columns with units, licence, citation.

    For example:
        skyloom catalog describe plasticc
        skyloom catalog describe /data/hats/gaia --json

    Parameters
    ----------
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    json
        Print JSON, for programs.
    """
    from skyloom.catalog import open_catalog

    _show(open_catalog(catalog).describe(), as_json=json)
    return DONE


@app.command
def check(catalog: str, /, *, full: Annotated[bool, Parameter(negative=())] = False, json: Json = False) -> int:
    """Check a catalog against its own metadata; exit code 1 if anything is wrong.

    For example:
        skyloom catalog check plasticc
        skyloom catalog check plasticc --full

    Parameters
    ----------
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    full
        Read every row, not only footers, positions and ids.
    json
        Print JSON, for programs.
    """
    from skyloom.catalog import open_catalog
    from skyloom.catalog.check import check_catalog

    report = check_catalog(open_catalog(catalog), full=full)
    findings = [{"kind": f.kind, "key": f.key, "file": f.file, "message": f.message} for f in report.findings]
    if json:
        show_json({"ok": report.ok, "partitions": report.partitions, "rows": report.rows, "findings": findings})
    elif report.ok:
        show_title(f"nothing wrong in {report.rows:,} rows of {report.partitions:,} partitions")
    else:
        show_table(findings, title=f"{len(findings)} findings in {report.partitions:,} partitions")
    return DONE if report.ok else FAILED


@app.command(name="list")
def list_(folder: Path = Path("catalogs"), /, *, json: Json = False) -> int:
    """List the catalogs that have a descriptor.

    For example:
        skyloom catalog list
        skyloom catalog list /data/catalogs --json

    Parameters
    ----------
    folder
        Where descriptors (NAME.toml) lie.
    json
        Print a JSON list, for programs.
    """
    from skyloom.catalog import list_descriptors

    show_table([_listed(path) for path in list_descriptors(folder)], columns=_LISTED, as_json=json)
    return DONE


_LISTED = ("name", "title", "licence", "location", "trouble")


def _listed(path: Path) -> dict[str, Any]:
    from skyloom.catalog import load_descriptor
    from skyloom.errors import SkyloomError

    try:
        found = load_descriptor(path)
    except SkyloomError as error:  # one broken descriptor must not hide the others
        return {"name": path.stem, "trouble": error.message}
    return {"name": found.name, "title": found.title, "licence": found.licence, "location": found.location}


def _show(description: Description, *, as_json: bool) -> None:
    if as_json:
        show_json(description.as_dict())
        return
    d = description
    show_title(f"{d.name}: {d.title}" if d.title else d.name)
    orders = ", ".join(f"{count:,} at order {order}" for order, count in d.orders.items())
    show_record(
        {
            "at": d.root,
            "rows": d.rows,
            "partitions": f"{d.partitions:,} ({orders})",
            "bytes": d.bytes,
            "rows per partition": f"{d.rows_min:,} to {d.rows_max:,}, median {d.rows_median:,.0f}",
            "id": d.id_column or "(none)",
            "position": [d.ra_column, d.dec_column],
            "licence": d.licence or "(not stated)",
            "cite": d.citation or "(not stated)",
            "snapshot": d.snapshot,
        }
    )
    columns = (
        {"column": c.name, "type": c.dtype, "unit": c.unit, "ucd": c.ucd, "description": c.description}
        for c in d.columns
    )
    show_table(columns, title="")
