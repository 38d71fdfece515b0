"""`skyloom layer`: what has been computed and when; check it, mend it, let old versions go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from skyloom.cli.output import DONE, FAILED, show_json, show_record, show_table, show_text, show_title
from skyloom.cli.shift import shift

if TYPE_CHECKING:
    from skyloom.jobs.care import Checked

__all__ = ["app"]

app = cyclopts.App(
    name="layer",
    help="List, describe, check, compare, repair and expire finished layers and their versions.",
    help_epilogue="",
)
app.command(shift)
Flag = Annotated[bool, Parameter(negative=())]

HOUR_S = 3600


@app.command(name="list")
def list_(store: str, /, *, json: Flag = False) -> int:
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
def describe(layer: str, /, *, store: str, version: int | None = None, json: Flag = False) -> int:
    """Print what a layer is: its columns, what made it, and which rows the model was asked about.

    For example:
        skyloom layer describe transient-class --store demo-output/layers

    Parameters
    ----------
    layer
        The layer's name.
    store
        The folder or URL where layers lie.
    version
        The newest unless told.
    json
        Print JSON, for programs.
    """
    from skyloom.cli.runs import show_funnel
    from skyloom.jobs import open_layer
    from skyloom.jobs.eligibility import funnel_of

    opened = open_layer(layer, store, version=version)
    identity, manifest = opened.provenance["identity"], opened.published.manifest
    said = {
        "layer": opened.name,
        "version": opened.version,
        "path": opened.path,
        "rows": opened.rows,
        "flagged": manifest.flagged,
        "quarantined": manifest.quarantined,
        "model": identity["model"]["name"],
        "weights": identity["model"]["weights"] or "",
        "question": opened.provenance.get("question") or "",
        "snapshot": identity["catalog"]["snapshot"],
    }
    columns = [
        {"column": c.name, "type": c.dtype, "unit": c.unit, "description": c.description} for c in opened.columns
    ]
    steps = funnel_of(opened.provenance)
    if json:
        show_json({**said, "columns": columns, "eligibility": steps})
        return DONE
    show_record(said)
    show_table(columns, title="\ncolumns")
    show_funnel(opened.rows, steps)
    return DONE


@app.command
def history(layer: str, /, *, store: str, json: Flag = False) -> int:
    """List the versions of a layer, the newest last, with what made each; expired ones too.

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


@app.command
def verify(
    layer: str,
    /,
    *,
    store: str,
    version: int | None = None,
    catalog: str | None = None,
    job: Path | None = None,
    replay: int = 0,
    seed: int = 0,
    cluster: str = "in-process",
    json: Flag = False,
) -> int:
    """Recompute every digest of a version: a line per difference, and exit code 1 if there is any.

    For example:
        skyloom layer verify transient-class --store demo-output/layers
        skyloom layer verify transient-class --store layers --job jobs/transient-class.toml --replay 5

    Parameters
    ----------
    layer
        The layer's name.
    store
        The folder or URL where layers lie.
    version
        The newest unless told.
    catalog
        The base catalog: compare the row keys of every partition with it.
    job
        The job that made the version: compare with its catalog, check the HATS collection.
    replay
        Compute so many partitions again and compare their values bit for bit; needs --job.
    seed
        Chooses which partitions.
    cluster
        Where they are computed: as for `skyloom run`.
    json
        Print JSON, for programs.
    """
    from skyloom.jobs import verify_layer

    checked = verify_layer(
        layer, store, version=version, catalog=catalog, job=job, partitions=replay, seed=seed, cluster=cluster
    )
    _show_checked(checked, as_json=json)
    return DONE if checked.ok else FAILED


def _show_checked(checked: Checked, *, as_json: bool) -> None:
    found, replayed = checked.verification, checked.replayed
    version = found.reference.version if found.reference else None
    if as_json:
        differences = [{"file": d.file, "key": d.key, "message": d.message} for d in found.differences]
        counts = {"partitions": found.partitions, "rows": found.rows, "bytes": found.size_bytes}
        show_json({"ok": checked.ok, "version": version, **counts, "differences": differences, "replay": replayed})
        return
    for difference in found.differences:
        show_text(str(difference))
    for key in replayed.different if replayed else ():
        show_text(f"{key}: computed again, its values are not those published")
    if replayed is not None and not replayed.different:
        show_text(f"{len(replayed.keys)} partitions computed again: bit for bit as published")
    verdict = "nothing differs" if found.ok else f"{len(found.differences)} differences"
    show_title(
        f"{found.layer} version {version}: {verdict} in {found.partitions:,} partitions, {found.rows:,} rows"
    )


@app.command
def repair(
    job: Path,
    /,
    *,
    store: str | None = None,
    version: int | None = None,
    cluster: str = "in-process",
    json: Flag = False,
) -> int:
    """Compute the damaged partitions of a version again, prove them equal, and put them back.

    Damaged files are kept under aside/ in the job's directory. If what comes out today is
    not what was published, nothing is changed.

    For example:
        skyloom layer repair jobs/transient-class.toml --store demo-output/layers

    Parameters
    ----------
    job
        The job file that made the layer.
    store
        Where layers lie, instead of the job's own [output] store.
    version
        The newest unless told.
    cluster
        Where partitions are computed: as for `skyloom run`.
    json
        Print JSON, for programs.
    """
    from skyloom.jobs import repair_layer

    done = repair_layer(job, store=store, version=version, cluster=cluster)
    shown = {
        "layer": done.after.layer,
        "version": done.after.reference.version if done.after.reference else None,
        "partitions_computed": done.partitions,
        "files_restored": len(done.restored),
        "set_aside": done.aside,
        "differences_left": len(done.after.differences),
    }
    (show_json if json else show_record)(shown)
    return DONE if done.after.ok else FAILED


@app.command
def expire(
    layer: str,
    /,
    *,
    store: str,
    keep: int | None = None,
    before: int | None = None,
    yes: Flag = False,
    json: Flag = False,
) -> int:
    """Remove the data of old versions; their numbers and what made them stay. Says only what it would do.

    For example:
        skyloom layer expire transient-class --store layers --keep 3
        skyloom layer expire transient-class --store layers --before 5 --yes

    Parameters
    ----------
    layer
        The layer's name.
    store
        The folder where layers lie.
    keep
        How many of the newest versions to keep.
    before
        Expire the versions before this one.
    yes
        Do it.
    json
        Print JSON, for programs.
    """
    from skyloom.jobs import expire_layer

    expiry = expire_layer(layer, store, keep=keep, before=before, dry_run=not yes)
    shown = {
        "done": yes,
        "versions_expired": list(expiry.versions),
        "versions_kept": list(expiry.kept),
        "bytes": expiry.size_bytes,
        "removed": [job.name for job in expiry.jobs],
        "in_use": [job.name for job in expiry.held],
    }
    (show_json if json else show_record)(shown)
    if not (yes or json):
        show_text("nothing was removed; add --yes to do it")
    return DONE


@app.command
def collect(layer: str, /, *, store: str, grace_hours: float = 24, yes: Flag = False, json: Flag = False) -> int:
    """Remove what runs left behind: temporary files, aborted and abandoned jobs. Says only what it would do.

    For example:
        skyloom layer collect transient-class --store layers
        skyloom layer collect transient-class --store layers --grace-hours 1 --yes

    Parameters
    ----------
    layer
        The layer's name.
    store
        The folder where layers lie.
    grace_hours
        Unpublished jobs go when nothing was written to them for so long, and no run holds them.
    yes
        Do it.
    json
        Print a JSON list, for programs.
    """
    from skyloom.jobs import collect_layer

    found = collect_layer(layer, store, grace_s=grace_hours * HOUR_S, dry_run=not yes)
    rows = [{"name": item.name, "bytes": item.size_bytes, "reason": item.reason} for item in found]
    show_table(rows, columns=("name", "bytes", "reason"), as_json=json)
    if rows and not (yes or json):
        show_text("nothing was removed; add --yes to do it")
    return DONE


@app.command
def abort(job_id: str, /, *, store: str, reason: str = "", json: Flag = False) -> int:
    """Give an unfinished job up, once and for ever: its runs stop, and `collect` removes it.

    For example:
        skyloom layer abort 3fafcf609db6607cb574 --store layers --reason "wrong weights"

    Parameters
    ----------
    job_id
        The job, as `skyloom run --plan` and the names in jobs/ say it.
    store
        The folder or URL where layers lie.
    reason
        Why, for whoever runs it again.
    json
        Print JSON, for programs.
    """
    from skyloom.jobs import abort_job

    journal = abort_job(job_id, store, reason=reason)
    (show_json if json else show_record)({"layer": journal.layer, "job_id": journal.job_id, "state": "aborted"})
    return DONE
