"""`skyloom report`: what a layer holds and what made it, as one HTML file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from skyloom.cli.output import DONE, show_json
from skyloom.errors import ErrorKind, SpecError

__all__ = ["report"]

Flag = Annotated[bool, Parameter(negative=())]


def report(
    layer: str,
    /,
    *,
    store: str | None = None,
    output: Path | None = None,
    overwrite: Flag = False,
    version: int | None = None,
    job: Path | None = None,
    catalog: str | None = None,
    tensors: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    magnitude: str | None = None,
    scores: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    objects: int = 4,
    json: Flag = False,
) -> int:
    """Write one HTML file on a layer: what ran, flags, distributions, sky maps, objects, timing.

    It opens without a network and says where every number is from. A layer that is not finished
    gets a report that says so.

    For example:
        skyloom report transient-class --store demo-output/layers
        skyloom report radio-galaxy --job jobs/radio-galaxy.toml --output radio.html

    Parameters
    ----------
    layer
        The layer's name, or the path or URL of its directory.
    store
        The folder or URL where layers lie; by default the one that --job writes to.
    output
        The file; LAYER-report.html here unless told.
    overwrite
        Replace the file if it is there.
    version
        The newest unless told.
    job
        The job file that made the layer: it says where the catalog and stores of images lie.
    catalog
        The base catalog, instead of the one that the job or the layer's collection names.
    tensors
        Stores of the images or spectra that the model read, as NAME=STORE.
    magnitude
        The catalog's column to divide rows by, instead of its first with UCD phot.mag.
    scores
        The layer's columns to map over the sky, instead of those that look like scores.
    objects
        Objects shown of each order: best, worst, most anomalous.
    json
        Print JSON, for programs.
    """
    from skyloom.jobs.report import report as write

    path = write(
        layer,
        store,
        output=output,
        overwrite=overwrite,
        version=version,
        job=job,
        catalog=catalog,
        tensors=_pairs(tensors),
        magnitude=magnitude,
        scores=scores,
        objects=objects,
    )
    size_bytes = path.stat().st_size
    if json:
        show_json({"report": str(path), "bytes": size_bytes})
    else:
        sys.stdout.write(f"{path}: {size_bytes:,} bytes\n")
    return DONE


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not (name and equals and place):
            msg = f"--tensors {text!r} is not NAME=STORE, as in --tensors cutout=stores/mirabest"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        pairs[name] = place
    return pairs
