"""Report of a layer: found, read and summed up, and written as one HTML file."""

from __future__ import annotations

import heapq
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skyloom.catalog import Catalog, expand_variables
from skyloom.catalog import open_catalog as open_hats
from skyloom.columns import Column
from skyloom.engine import Journal, Record
from skyloom.engine.tally import Tally
from skyloom.errors import ConflictError, DataError, ErrorKind, NotFoundError, SpecError, close_matches
from skyloom.jobs.eligibility import funnel_of
from skyloom.jobs.layers import Layer, check_aligned, layer_place, open_layer
from skyloom.jobs.plan import store_of
from skyloom.jobs.spec import JobSpec, load_job
from skyloom.jobs.status import Status, layer_status, run_of
from skyloom.models import registry
from skyloom.models.card import Card
from skyloom.reporting import Finished, LayerRows, Run, Subject, TensorPlace, compose
from skyloom.reporting.roles import magnitude_of
from skyloom.reporting.said import STATES
from skyloom.storage import Store
from skyloom.tensors import open_tensors

__all__ = ["report"]

SLOWEST = 5
"""Partitions that took longest, which are named."""


def report(
    layer: str | Path,
    store: str | Path | None = None,
    *,
    output: str | Path | None = None,
    version: int | None = None,
    job: str | Path | None = None,
    catalog: str | Path | None = None,
    tensors: Mapping[str, str] | None = None,
    magnitude: str | None = None,
    scores: Sequence[str] = (),
    objects: int = 4,
    overwrite: bool = False,
) -> Path:
    """Write the report of a layer: one HTML file that opens without a network.

    Parameters
    ----------
    layer : str or Path
        A layer's name in `store`, or the path or URL of its directory.
    store : str or Path, optional
        The directory or URL of layers; by default the one that `job` writes to.
    output : str or Path, optional
        The file; ``<layer>-report.html`` here unless told.
    version : int, optional
        The newest unless told.
    job : str or Path, optional
        The job file that made the layer: says where catalog and tensor stores lie.
    catalog : str or Path, optional
        The base catalog, instead of the one that the job or the layer's HATS collection names.
    tensors : mapping of str to str, optional
        Stores of images and spectra by the model's names for them, instead of those of `job`.
    magnitude : str, optional
        The catalog's column to divide rows by, instead of its first with UCD ``phot.mag``.
    scores : sequence of str, optional
        The layer's columns to map, where the rule would choose others.
    objects : int
        Objects shown of each order.
    overwrite : bool
        Whether `output` may be there already.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    NotFoundError
        If no run of such a layer was ever begun, or `catalog` is not there.
    SpecError
        If a column does not exist, or `output` does.
    ConflictError
        If `catalog` is not the one that the layer was computed from.
    DataError
        If a file of the layer is missing or broken.
    """
    spec = None if job is None else load_job(job)
    opened, name = _place(layer, store, spec)
    path = Path(f"{name}-report.html" if output is None else output)
    if path.exists() and not overwrite:
        msg = f"{path} exists: choose another name by --output, or add --overwrite"
        raise SpecError(msg, kind=ErrorKind.ALREADY_EXISTS, path=str(path))
    if objects < 1:
        msg = f"objects must be at least 1, got {objects}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    asked = _Asked(spec, None if catalog is None else str(catalog), dict(tensors or {}), magnitude)
    subject, bright = _subject(opened, name, version, asked)
    made = compose(subject, magnitude=bright, scores=scores, most=objects)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(made)
    partial.replace(path)
    return path


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the caller says of places and columns."""

    job: JobSpec | None
    catalog: str | None
    tensors: Mapping[str, str]
    magnitude: str | None


def _place(layer: str | Path, store: str | Path | None, spec: JobSpec | None) -> tuple[Store, str]:
    if store is None and spec is not None and "/" not in str(layer):
        store = store_of(spec, open_hats(spec.input.catalog), None)
    return layer_place(layer, store)


def _subject(store: Store, name: str, version: int | None, asked: _Asked) -> tuple[Subject, Column | None]:
    layer = _finished(store, name, version)
    status = _status(store, name)
    journal = layer.published.journal if layer else Journal(store, name, status.job_id if status else "")
    stated = json.loads(store.read(journal.name("job.json")))
    identity = stated["identity"]
    provenance = layer.provenance if layer else {}
    catalog, said, trouble = _catalog(store, layer, identity, asked)
    bright = None
    if catalog is not None:
        bright = magnitude_of(catalog.columns, wanted=asked.magnitude)
    elif asked.magnitude is not None:
        msg = f"the catalog cannot be read, and so not its column {asked.magnitude!r}: {trouble}"
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=asked.magnitude)
    planned = [(key, rows) for key, rows, *_ in stated["partitions"]]
    if layer:
        planned = [(entry.key, entry.rows) for entry in layer.published.files]
    subject = Subject(
        layer=name,
        store=store.root,
        job_id=journal.job_id,
        folder=journal.name(),
        state=status.state if status else "",
        identity=identity,
        question=str(provenance.get("question") or ""),
        planned=planned,
        committed={} if layer else _committed(journal, planned),
        finished=_read(layer, catalog, bright) if layer else None,
        catalog=catalog,
        catalog_said=said,
        catalog_trouble=trouble,
        tensors=_tensors(identity, [key for key, _ in planned], asked),
        runs=_runs(journal),
        notes=_notes(layer, status),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        code=_version(),
    )
    return subject, bright


def _finished(store: Store, name: str, version: int | None) -> Layer | None:
    """Return the published layer; None where a run was begun and nothing is published."""
    try:
        return open_layer(name, store.root, version=version)
    except NotFoundError as error:
        if error.kind != ErrorKind.NOT_FINISHED or version is not None:
            raise
        return None


def _status(store: Store, name: str) -> Status | None:
    """Return how the newest run is; None for a layer that came without its logs."""
    try:
        return layer_status(name, store.root)
    except NotFoundError:
        return None


def _notes(layer: Layer | None, status: Status | None) -> tuple[str, ...]:
    if layer is None:
        assert status is not None
        reason = f" Its reason: {status.reason}" if status.reason else ""
        done = f"{status.partitions_done:,} of {status.partitions:,} partitions are committed."
        return (f"{STATES.get(status.state, 'This layer is not finished.')} {done}{reason}",)
    if status is not None and status.job_id != layer.published.journal.job_id and status.state != "published":
        newer = f"A newer job, {status.job_id}, is {status.state} and not published"
        return (f"{newer}: this report is of version {layer.version}, from job {layer.published.journal.job_id}.",)
    return ()


def _catalog(
    store: Store, layer: Layer | None, identity: Mapping[str, Any], asked: _Asked
) -> tuple[Catalog | None, str, str]:
    """Return the catalog, who named it, and why it is not read."""
    place, said = asked.catalog, "the request"
    if place is None and asked.job is not None:
        place, said = asked.job.input.catalog, f"job {asked.job.job}: input.catalog"
    if place is None and layer is not None:
        file = f"{layer.name}/versions/v{layer.version:08d}/collection.properties"
        place, said = _properties(store, file).get("hats_primary_table_url"), file
    if not place:
        return None, "", "nothing says where it lies. Name it by --catalog, or the job file by --job."
    try:
        catalog = open_hats(place)
        if layer is not None:
            check_aligned(catalog, [layer])
        elif identity.get("catalog", {}).get("snapshot") != catalog.snapshot():
            msg = f"{catalog.root} is not the snapshot that the job was planned for"
            raise ConflictError(msg, kind=ErrorKind.SNAPSHOT_CHANGED)
    except (NotFoundError, SpecError, DataError, ConflictError) as error:
        if asked.catalog is not None:
            raise
        return None, said, error.message
    return catalog, said, ""


def _properties(store: Store, name: str) -> dict[str, str]:
    """Return the words of a Java properties file; none where there is no file."""
    try:
        text = store.read(name).decode()
    except NotFoundError:
        return {}
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {key: value.replace("\\\\", "\\") for key, equals, value in lines if equals}


def _read(layer: Layer, catalog: Catalog | None, bright: Column | None) -> Finished:
    published = layer.published
    by_key = {} if catalog is None else {partition.key: partition for partition in catalog.partitions()}
    words = _properties(layer.store, published.journal.name("hats.properties"))
    files = published.files
    rows = LayerRows(
        store=layer.store,
        names=tuple(published.journal.data(entry.key) for entry in files),
        rows=tuple(entry.rows for entry in files),
        root=catalog.root if catalog else "",
        partitions=tuple(by_key[entry.key] for entry in files) if catalog else (),
        magnitude=bright.name if bright else "",
    )
    manifest = published.manifest
    counted = {name: getattr(manifest, name) for name in ("rows", "size_bytes", "flagged", "quarantined")}
    provenance, card = layer.provenance, layer.provenance.get("card")
    model = provenance["identity"].get("model", {}).get("name", "")
    return Finished(
        version=layer.version,
        columns=layer.columns,
        position=(words["hats_col_ra"], words["hats_col_dec"]),
        row_id=words.get("hats_cols_survey_id", ""),
        rows=rows,
        manifest=counted,
        quarantine=tuple((k, entry.quarantined) for k, entry in enumerate(files) if entry.quarantined),
        funnel=funnel_of(provenance),
        criteria=tuple(provenance.get("eligibility", {}).get("criteria", ())),
        card=Card.from_toml(card, where=f"the card in {published.journal.name('provenance.json')}")
        if card
        else None,
        flags={} if card else _flags(model),
    )


def _flags(model: str) -> dict[str, str]:
    """Return the meanings of a model's own flags; none of a model that is not installed here."""
    try:
        return {flag.name: flag.description for flag in registry.system(model).FLAGS}
    except SpecError:
        return {}


def _committed(journal: Journal, planned: Sequence[tuple[str, int]]) -> dict[str, int]:
    found = dict.fromkeys(("partitions", "rows", "flagged", "quarantined"), 0)
    for name, data in journal.store.read_present(journal.record(key) for key, _ in planned):
        record = Record.from_json(data, where=journal.store.location(name))
        found["partitions"] += 1
        for count in ("rows", "flagged", "quarantined"):
            found[count] += getattr(record, count)
    return found


def _tensors(identity: Mapping[str, Any], keys: Sequence[str], asked: _Asked) -> tuple[TensorPlace, ...]:
    read: Mapping[str, Sequence[str]] = identity.get("tensors", {})
    for name in asked.tensors:
        if name not in read:
            there = close_matches(name, list(read)) if read else "it read none"
            msg = f"--tensors names a store for {name!r}, which the model did not read; {there}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, tensor=name)
    named = {**(asked.job.input.tensors if asked.job else {}), **asked.tensors}
    return tuple(_tensor(name, digest, named.get(name), keys) for name, (digest, _) in sorted(read.items()))


def _tensor(name: str, digest: str, place: str | None, keys: Sequence[str]) -> TensorPlace:
    if place is None:
        trouble = (
            f"the layer says which store was read, {digest}, and not where it lies. Name it by --tensors "
            f"{name}=STORE, or the job file by --job."
        )
        return TensorPlace(name, None, trouble)
    try:
        store = open_tensors(expand_variables(place, "the store of " + name))
        found = store.digest(store.statements(keys))
    except (NotFoundError, DataError, SpecError) as error:
        return TensorPlace(name, None, error.message)
    if found != digest:
        return TensorPlace(name, None, f"{store.location} is {found}, and {digest} was read: it changed since.")
    return TensorPlace(name, store)


def _runs(journal: Journal) -> tuple[Run, ...]:
    """Return every run of a job, from its logs, oldest first."""
    folder, store = journal.name("log"), journal.store
    tallies: dict[str, Tally] = {}
    slowest: dict[str, list[tuple[float, str, int]]] = {}
    for name in store.names(folder):
        run = run_of(name)
        tally, slow = tallies.setdefault(run, Tally()), slowest.setdefault(run, [])
        text = store.read(f"{folder}/{name}").decode()
        for line in text[: text.rfind("\n") + 1].splitlines():  # a last line may not be written out yet
            event = json.loads(line)
            tally.add(event)
            if event["event"] == "partition":
                heapq.heappush(slow, (event.get("wall_s", 0.0), event["key"], event.get("rows", 0)))
                if len(slow) > SLOWEST:
                    heapq.heappop(slow)
    return tuple(Run(run, tally, tuple(sorted(slowest[run], reverse=True))) for run, tally in tallies.items())


def _version() -> str:
    try:
        return importlib.metadata.version("skyloom")
    except importlib.metadata.PackageNotFoundError:
        return "(a source tree that is not installed)"
