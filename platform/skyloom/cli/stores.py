"""What the commands of cutouts and of spectra print."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from skyloom.cli.output import DONE, FAILED, show_json, show_record, show_table, show_title

if TYPE_CHECKING:
    from skyloom.jobs.stores import Made

__all__ = ["Json", "Words", "show_check", "show_made", "show_store"]

Json = Annotated[bool, Parameter(negative=())]
Words = Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())]


def show_made(made: Made, *, as_json: bool) -> int:
    """Print what was made of a store; exit code 0."""
    _show(asdict(made), as_json=as_json)
    return DONE


def show_check(store: str, catalog: str, *, as_json: bool) -> int:
    """Check a store against a catalog and print the findings; exit code 1 if there are any."""
    from skyloom.catalog import open_catalog
    from skyloom.jobs.stores import check_tensors
    from skyloom.tensors import open_tensors

    found, rows = check_tensors(open_tensors(store), open_catalog(catalog))
    findings = [{"kind": f.kind, "key": f.key, "message": f.message} for f in found]
    if as_json:
        show_json({"ok": not findings, "rows": rows, "findings": findings})
    elif findings:
        show_table(findings, title=f"{len(findings)} findings in {rows:,} rows")
    else:
        show_title(f"nothing wrong in {rows:,} rows")
    return FAILED if findings else DONE


def show_store(store: str, *, as_json: bool) -> int:
    """Print what a store says of itself; exit code 0."""
    from skyloom.tensors import open_tensors

    _show(asdict(open_tensors(store).layout), as_json=as_json)
    return DONE


def _show(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(said)
    else:
        show_record(said)
