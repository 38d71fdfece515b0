"""`skyloom layer`: what has been computed, and when."""

from __future__ import annotations

from typing import Annotated

import cyclopts
from cyclopts import Parameter

from skyloom.cli.output import DONE, show_table

__all__ = ["app"]

app = cyclopts.App(name="layer", help="List finished layers and their versions.", help_epilogue="")
Json = Annotated[bool, Parameter(negative=())]


@app.command(name="list")
def list_(store: str, /, *, json: Json = False) -> int:
    """List the finished layers in a store.

    For example:
        skyloom layer list demo-output/layers

    Parameters
    ----------
    store
        The folder or URL where layers lie.
    json
        Print a JSON list, for programs.
    """
    from skyloom.jobs import list_layers

    rows = [
        {"layer": layer.name, "version": layer.version, "rows": layer.rows, "path": layer.path}
        for layer in list_layers(store)
    ]
    show_table(rows, columns=("layer", "version", "rows", "path"), as_json=json)
    return DONE


@app.command
def history(layer: str, /, *, store: str, json: Json = False) -> int:
    """List the versions of a layer, the newest last, with what made each.

    For example:
        skyloom layer history transient-class --store demo-output/layers

    Parameters
    ----------
    layer
        The layer's name.
    store
        The folder or URL where layers lie.
    json
        Print a JSON list, for programs.
    """
    from skyloom.jobs import layer_history

    show_table(layer_history(layer, store), as_json=json)
    return DONE
