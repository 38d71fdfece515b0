"""`skyloom cluster`: what a cluster beyond this machine needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from skyloom.cli.output import DONE, show_json, show_record, show_text

__all__ = ["app"]

DASHBOARD = "--dashboard-address 127.0.0.1:"
"""Needed even where no dashboard is wanted: without it Dask serves HTTP to everybody."""

app = cyclopts.App(name="cluster", help="Certificates for clusters beyond this machine.", help_epilogue="")


@app.command
def certs(
    folder: Path,
    /,
    *,
    scheduler: str = "tls://127.0.0.1:8786",
    hours: float = 168,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Make the certificates of one cluster run: an authority, and pairs for scheduler, workers and client.

    Keys are readable by their owner only, and all expire. The authority's own key is not
    kept: for another run make new ones. Whoever holds a pair can run code on the cluster.

    For example:
        skyloom cluster certs certs --scheduler tls://10.0.0.5:8786 --hours 48

    Parameters
    ----------
    folder
        A new directory.
    scheduler
        The address at which clients will reach the scheduler.
    hours
        Until they expire.
    json
        Print JSON, for programs.
    """
    from skyloom.cluster import make_certificates

    made = make_certificates(folder, scheduler=scheduler, lifetime_h=hours)
    where = made.folder.absolute()
    port = scheduler.rpartition(":")[2]
    shown = {
        "folder": str(where),
        "expires": f"{made.expires:%Y-%m-%d %H:%M} UTC",
        "scheduler": f"dask scheduler --protocol tls --port {port} {_options(where, 'scheduler')} {DASHBOARD}8787",
        "worker": f"{_environment()} dask worker {scheduler} --nthreads 1 {_options(where, 'worker')} "
        f"{DASHBOARD}0",
        "client": f"skyloom run JOB.toml --cluster {made.cluster_file.absolute()}",
    }
    if json:
        show_json(shown)
        return DONE
    show_record(shown)
    show_text(
        "Copy ca.pem and a machine's own pair to it, over a safe channel. Dashboards stay plain HTTP without a "
        "password: leave them on 127.0.0.1, and reach them by a tunnel."
    )
    return DONE


def _environment() -> str:
    """Return how a shell sets what worker processes need before they start."""
    from skyloom.cluster.start import WORKER_ENVIRONMENT

    return " ".join(["env", *(f"{name}={value}" for name, value in WORKER_ENVIRONMENT.items())])


def _options(folder: Path, role: str) -> str:
    files = {"ca-file": "ca.pem", "cert": f"{role}.pem", "key": f"{role}-key.pem"}
    return " ".join(f"--tls-{option} {folder / file}" for option, file in files.items())
