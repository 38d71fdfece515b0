"""The chapter on rows: how many there are, which flags they carry, who is in quarantine, who was asked about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from skyloom.columns import Column
from skyloom.models.eligibility import Step
from skyloom.reporting.charts import funnel
from skyloom.reporting.content import Fact, Facts, Figure, Figures, Note, Section, Table, cut
from skyloom.reporting.gather import Gathered
from skyloom.reporting.subject import Finished, Subject
from skyloom.runtime.contract import PLATFORM_FLAGS

__all__ = ["counts", "flag_names"]

MOST_FAULTS = 50
"""Rows of the quarantine that are listed."""
_BIT = re.compile(r"\b([A-Z][A-Z0-9_]*)=(\d+)")
_CRITERION = re.compile(r"INELIGIBLE_(\d+)")


def flag_names(flag: Column) -> dict[int, str]:
    """Return the name of each bit, as the description of a layer's flag column spells them.

    Examples
    --------
    >>> flag_names(Column("m_flag", description="bits: LC_EMPTY=1, MODEL_ERROR=16777216; 0: nothing found"))
    {0: 'LC_EMPTY', 24: 'MODEL_ERROR'}
    """
    found: dict[int, str] = {}
    for name, mask in _BIT.findall(flag.description):
        value = int(mask)
        if value and value & (value - 1) == 0 and value < 2**32:
            found.setdefault(value.bit_length() - 1, name)
    return found


def counts(subject: Subject, gathered: Gathered | None) -> Section:
    """Return the chapter on rows."""
    section = Section("rows", "Rows, flags and eligibility")
    if subject.finished is None or gathered is None:
        section.blocks.append(_committed(subject))
        section.blocks.append(Note("Flags and columns are shown once a version is published."))
        return section
    finished, manifest = subject.finished, subject.finished.manifest
    source = subject.file("manifest.json")
    rows = int(manifest["rows"])
    facts = (
        Fact("rows", f"{rows:,}", f"{source}: rows"),
        Fact("bytes", f"{manifest['size_bytes']:,}", f"{source}: size_bytes"),
        Fact("rows with a flag", _share(int(manifest["flagged"]), rows), f"{source}: flagged"),
        Fact("rows in quarantine", _share(int(manifest["quarantined"]), rows), f"{source}: quarantined"),
        Fact("rows with a flag, counted for this page", _share(gathered.flagged, rows), _flag_source(finished)),
    )
    section.blocks.append(Facts(facts))
    if gathered.flagged != int(manifest["flagged"]):
        words = (
            "Flagged rows are not as many as the manifest says: files were changed since. `skyloom layer verify`"
        )
        section.blocks.append(Note(words, "warning"))
    section.blocks.append(_flags(finished, gathered, rows))
    _add_quarantine(section, subject, finished)
    if finished.funnel:
        _add_funnel(section, subject, finished, rows)
    else:
        section.blocks.append(Note("There are no criteria of eligibility: the model was asked about every row."))
    return section


def _committed(subject: Subject) -> Facts:
    source = subject.file("records")
    rows = sum(rows for _, rows in subject.planned)
    facts = [
        Fact("rows planned", f"{rows:,}", f"{subject.file('job.json')}: partitions"),
        Fact("partitions planned", f"{len(subject.planned):,}", f"{subject.file('job.json')}: partitions"),
    ]
    said = {
        "partitions": "partitions committed",
        "rows": "rows committed",
        "flagged": "of these with a flag",
        "quarantined": "of these in quarantine",
    }
    facts += [Fact(words, f"{subject.committed.get(name, 0):,}", source) for name, words in said.items()]
    return Facts(tuple(facts))


def _flag_source(finished: Finished) -> str:
    return f"column {finished.columns[-1].name} of every row"


def _share(count: int, rows: int) -> str:
    return f"{count:,} ({100.0 * count / rows:.2f} %)" if rows else f"{count:,}"


def _flags(finished: Finished, gathered: Gathered, rows: int) -> Table:
    flag = finished.columns[-1]
    names, said = flag_names(flag), _descriptions(finished)
    listed = []
    for bit in range(32):
        count = int(gathered.bits[bit])
        if not count and bit not in names:
            continue
        name = names.get(bit, f"bit {bit}")
        criterion = _CRITERION.fullmatch(name)
        meaning = said.get(name, "")
        if criterion and int(criterion[1]) <= len(finished.criteria):
            meaning = f"not eligible: {finished.criteria[int(criterion[1]) - 1]} does not hold or is not known"
        if count or not any(name == platform.name for platform in PLATFORM_FLAGS):
            listed.append([name, str(1 << bit), f"{count:,}", f"{100.0 * count / max(1, rows):.2f}", meaning])
    columns = ("flag", "value", "rows", "% of rows", "means")
    source = f"{_flag_source(finished)}; the meaning from the card, or the model installed here"
    title = "Flags: a row may carry several; those of the platform that no row carries are left out"
    return Table(title, columns, listed, source, right=frozenset({1, 2, 3}))


def _descriptions(finished: Finished) -> Mapping[str, str]:
    own = dict(finished.card.flags) if finished.card else dict(finished.flags)
    return {**{flag.name: flag.description for flag in PLATFORM_FLAGS}, **own}


def _add_quarantine(section: Section, subject: Subject, finished: Finished) -> None:
    if not finished.quarantine:
        section.blocks.append(Note("No row is in quarantine: the model raised on none, and none killed a worker."))
        return
    listed: list[list[str]] = []
    for partition, _ in finished.quarantine:
        key = subject.planned[partition][0]
        for row, cause, message, *_ in finished.rows.faults(partition):
            listed.append([key, str(row), cut(cause), cut(message)])
        if len(listed) >= MOST_FAULTS:
            break
    total = sum(count for _, count in finished.quarantine)
    source = "footers of the data files in " + subject.file("dataset")
    shown = listed[:MOST_FAULTS]
    title = f"Quarantine: {len(shown):,} of {total:,} rows"
    section.blocks.append(
        Table(title, ("partition", "row", "cause", "message"), shown, source, right=frozenset({1}))
    )


def _add_funnel(section: Section, subject: Subject, finished: Finished, rows: int) -> None:
    source = subject.file("provenance.json: eligibility.counts")
    caption = "Rows that are left after each criterion and all before it"
    drawn = Figure(funnel(rows, finished.funnel), caption, source, wide=True)
    section.blocks.append(Figures((drawn,), "Eligibility funnel"))
    section.blocks.append(_steps(finished.funnel, source))


def _steps(steps: Sequence[Step], source: str) -> Table:
    listed = [[s.criterion, f"{s.holds:,}", f"{s.fails:,}", f"{s.not_known:,}", f"{s.left:,}"] for s in steps]
    columns = ("criterion", "holds", "fails", "not known", "left")
    return Table("The funnel in numbers", columns, listed, source, right=frozenset({1, 2, 3, 4}))
