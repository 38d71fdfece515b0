"""`skyloom explore`: the browser page over a catalog and its layers."""

from __future__ import annotations

import sys
from pathlib import Path

from skyloom.cli.output import DONE
from skyloom.errors import ErrorKind, SpecError

__all__ = ["explore"]


def explore(
    catalog: str,
    /,
    *,
    layers: str = "",
    store: str | None = None,
    tensors: str = "",
    labels: Path | None = None,
    features: str = "",
    classes: str = "",
    by: str = "me",
    selections: Path = Path("selections"),
    max_rows: int = 10_000_000,
    port: int = 5006,
) -> int:
    """Serve a page for browsers on this machine: sky map, scatter plot, table, objects, labels.

    Zoom with the wheel, select with a box, click a point to see the object. The address
    of the page holds all that is selected. Ctrl-C ends it.

    For example:
        skyloom explore gaia
        skyloom explore plasticc --layers lightcurve-features,transient-anomaly
        skyloom explore galaxies --tensors stores/galaxies-stamps --port 5010

    Parameters
    ----------
    catalog
        A descriptor's name or file, or the path or URL of a HATS catalog.
    layers
        Names or paths of finished layers, with commas between.
    store
        Where the layers lie; the place that the catalog's descriptor names unless told.
    tensors
        Stores of cutouts and spectra of this catalog, with commas between.
    labels
        Folder to keep labels in; beside the first layer unless told.
    features
        Columns that objects are ranked by, with commas between; all floats of the layers unless told.
    classes
        Classes to offer as labels, with commas between; up to nine are on the keys 1 to 9.
    by
        Who labels: a pseudonym, kept with each label.
    selections
        Folder of saved selections.
    max_rows
        Rows to hold in memory; of a larger catalog every k-th row is drawn.
    port
        Port to listen on, of the loopback address; 0 takes a free one.
    """
    from skyloom.jobs import open_catalog

    try:
        import datashader  # noqa: F401
        import panel  # noqa: F401

        from skyloom.explorer import Explorer, serve
    except ModuleNotFoundError as error:
        msg = f"the page needs {error.name}: pip install 'skyloom[explore]'"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER) from None
    view = open_catalog(catalog).with_layers(*_names(layers), store=store)
    explorer = Explorer.of(
        view, tensors=_names(tensors), labels=labels, features=features, classes=_names(classes), by=by,
        selections=selections, limit=max_rows,
    )  # fmt: skip
    serve(explorer, port=port, announce=_announce)
    return DONE


def _announce(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
