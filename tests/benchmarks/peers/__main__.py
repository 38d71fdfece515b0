"""Three jobs, by skyloom and by what people would use instead: ``python -m tests.benchmarks.peers``.

Each contestant is a process of its own that does the whole job, start-up included, on the same input,
and takes turns with the others. What they write is compared.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.peers.curves.contest import JOB as CURVES
from tests.benchmarks.peers.images.contest import JOB as IMAGES
from tests.benchmarks.peers.page import write_section
from tests.benchmarks.peers.race import run, table_of
from tests.benchmarks.peers.table.contest import JOB as TABLE

JOBS = {"table": TABLE, "images": IMAGES, "curves": CURVES}


def main() -> None:
    """Run them, print who took what, and write it down where that is wished."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--jobs", default=",".join(JOBS), help="of table, images, curves; separated by commas")
    parser.add_argument("--size", choices=("small", "large"), default="small", help="a minute or ten on two cores")
    parser.add_argument("--rows", type=int, default=None, help="instead of a size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="names of contestants, separated by semicolons")
    parser.add_argument("--keep", type=Path, default=None, help="folder for the input, which stays there")
    parser.add_argument(
        "--page", type=Path, default=None, help="page in whose section of the job results are written"
    )
    parser.add_argument(
        "--peers", default=None, help="python of the environment of others; without it they are left out"
    )
    options = parser.parse_args()
    for name in options.jobs.split(","):
        job = JOBS[name]
        rows = options.rows or job.rows[options.size]
        sys.stdout.write(f"{job.title}; {rows:,} {job.unit}\n")
        keep = options.keep and options.keep / f"{name}-{rows}"
        only = tuple(filter(None, options.only.split(";")))
        taken = run(job, rows, rounds=options.rounds, peers=options.peers, only=only, keep=keep)
        lines = table_of(taken)
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + "\n")
        if options.page:
            write_section(options.page, name, job, rows, options.rounds, lines, peers=options.peers)


if __name__ == "__main__":
    main()
