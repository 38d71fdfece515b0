"""The command line: `skyloom NOUN VERB`.

A command parses, calls one library function, prints, and returns an exit code. Nothing
heavier than the parser is imported before a command runs: `skyloom --help` is immediate.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence

import cyclopts

from skyloom.cli import (
    catalogs,
    clusters,
    cutouts,
    demo,
    explore,
    labels,
    layers,
    models,
    queries,
    ranking,
    reports,
    runs,
    spectra,
    status,
)
from skyloom.cli.output import FAILED, INTERRUPTED, WRONG_REQUEST, exit_code, show_error
from skyloom.errors import SkyloomError

__all__ = ["app", "main"]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("skyloom")
    except PackageNotFoundError:
        return "unknown: a source tree that is not installed"


app = cyclopts.App(
    name="skyloom",
    help="New columns for sky-survey catalogs: models mapped over HATS partitions, durably.",
    help_epilogue="""For example:
    skyloom demo
    skyloom run jobs/lightcurve-features.toml --plan
    skyloom query "select count(*) from catalog" --catalog plasticc

Exit codes: 0 done, 1 failed, 2 the request is wrong, 3 done with bad rows above the job's limit.""",
    help_format="plaintext",
    version=_version,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
# Their modules import what they need when they run.
for _noun in (catalogs.app, cutouts.app, spectra.app, models.app, layers.app, labels.app, clusters.app):
    app.command(_noun)
for _verb in (demo.demo, runs.run, status.status, reports.report, queries.query, ranking.rank, explore.explore):
    app.command(_verb, help_epilogue="")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``skyloom``; those of this process unless told.

    Returns
    -------
    int
        0 done, 1 failed, 2 the request is wrong, 3 done with bad rows above the job's
        limit, 130 interrupted.
    """
    if argv is None:
        # This process ends after the command: the collector need not look at all modules for a tenth of a second.
        atexit.register(gc.freeze)
    try:
        code = app(sys.argv[1:] if argv is None else list(argv), exit_on_error=False)
    except cyclopts.CycloptsError:  # printed by the parser, with the close ones
        return WRONG_REQUEST
    except SkyloomError as error:
        show_error(error)
        return exit_code(error)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: what is committed is kept; the same command goes on from there\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        sys.stderr.close()
        return FAILED
    return code if isinstance(code, int) else 0
