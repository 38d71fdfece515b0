"""The chapters on values: how every column is distributed, by brightness and place, and maps of the sky."""

from __future__ import annotations

import numpy as np

from skyloom.columns import Column
from skyloom.reporting.bins import Grouping, Numbers, Words
from skyloom.reporting.charts import bars, histogram, lines_by_group
from skyloom.reporting.content import Block, Figure, Figures, Note, Output, Section, Table
from skyloom.reporting.gather import MAGNITUDE, REGION, UNLIKE_P, Gathered
from skyloom.reporting.roles import Roles
from skyloom.reporting.skymap import Shade, draw_map
from skyloom.reporting.subject import Finished, Subject
from skyloom.reporting.svg import number

__all__ = ["MOST_DRAWN", "distributions", "sky"]

OPEN_COLUMNS = 16
"""Columns whose figures are there at once; the others are folded."""
MOST_DRAWN = 250
"""Columns that are drawn; the others are described by numbers alone, so that a report stays small."""
_TOP_WORDS = 12


def distributions(subject: Subject, gathered: Gathered | None) -> Section:
    """Return the chapter on the columns."""
    section = Section("outputs", "Distributions of every output")
    if subject.finished is None or gathered is None:
        section.blocks.append(Note("There are no values before a version is published."))
        return section
    section.blocks.append(Note(_how(subject, gathered)))
    for place, column in enumerate(subject.finished.columns[:-1]):
        section.blocks.append(_output(column, gathered, place, subject))
    return section


def _how(subject: Subject, gathered: Gathered) -> str:
    divided = {grouping.name: grouping for grouping in gathered.groupings}
    said = [
        f"Counted over all {gathered.rows:,} rows. Bins lie between two quantiles of a sample of "
        f"{gathered.sampled:,} rows; values beyond them are counted at the ends. Quantiles of groups are "
        "exact to a bin's width."
    ]
    if MAGNITUDE in divided:
        said.append(f"By brightness: {divided[MAGNITUDE].source}.")
    elif subject.catalog is None:
        said.append("Not divided by brightness: the catalog is not read.")
    else:
        said.append(
            "Not divided by brightness: no column of the catalog has a UCD that begins with phot.mag, or it says "
            "nothing; --magnitude names one."
        )
    if REGION in divided:
        said.append(f"By place: {divided[REGION].source}, named by right ascension and declination of the middle.")
    return " ".join(said)


def _output(column: Column, gathered: Gathered, place: int, subject: Subject) -> Output:
    about = "; ".join(filter(None, (column.dtype, column.unit, column.ucd)))
    about = f"{column.description} ({about})" if column.description else about
    source = f"column {column.name} of {subject.file('dataset')}, every row"
    folded = place >= OPEN_COLUMNS
    if column.name in gathered.numbers:
        numbers = gathered.numbers[column.name]
        figures = _numbers_drawn(column, numbers, gathered, source) if place < MOST_DRAWN else ()
        return Output(column.name, about, _sums(numbers), figures, source, folded)
    if column.name in gathered.words:
        words = gathered.words[column.name]
        drawn = (Figure(bars(words, name=column.name), "rows by value", source),) if place < MOST_DRAWN else ()
        said = f"{words.rows:,} rows, {words.nulls:,} null, {len(words.values):,} different values"
        return Output(column.name, about, said, drawn, source, folded, _shares(words, gathered, source))
    nulls = gathered.other[column.name]
    return Output(column.name, about, f"{gathered.rows:,} rows, {nulls:,} null; not drawn", (), source, folded)


def _sums(numbers: Numbers) -> str:
    if not numbers.n:
        return f"{numbers.rows:,} rows, all null"
    quantiles = " / ".join(number(numbers.quantile(q)) for q in (0.16, 0.5, 0.84))
    return (
        f"{numbers.rows:,} rows, {numbers.nulls:,} null; least {number(numbers.least)}, "
        f"most {number(numbers.most)}, mean {number(numbers.mean)}; 16 / 50 / 84 %: {quantiles}"
    )


def _numbers_drawn(column: Column, numbers: Numbers, gathered: Gathered, source: str) -> tuple[Figure, ...]:
    if not numbers.n:
        return ()
    label = f"{column.name} ({column.unit})" if column.unit else column.name
    label += ", logarithmic" if numbers.axis.log else ""
    figures = [Figure(histogram(numbers, name=column.name, label=label), "all rows that have a value", source)]
    for grouping in gathered.groupings:
        drawing = lines_by_group(numbers, grouping, name=column.name, label=label)
        figures.append(Figure(drawing, f"by {_words(grouping)}: median, central 68 %, rows", source))
    return tuple(figures)


def _words(grouping: Grouping) -> str:
    return "magnitude" if grouping.name == MAGNITUDE else "region of the sky"


def _shares(words: Words, gathered: Gathered, source: str) -> Table | None:
    """Return how often values occur in each group."""
    top = words.top(_TOP_WORDS)
    if not top or not gathered.groupings:
        return None
    rows, first = [], True
    for grouping in gathered.groupings:
        counts = words.by[grouping.name]
        for group, label in enumerate(grouping.labels):
            total = int(counts[group].sum())
            if total:
                shares = (100.0 * int(counts[group][words.values[word]]) / total for word, _ in top)
                rows.append(
                    [_words(grouping) if first else "", label, f"{total:,}", *(f"{s:.1f}" for s in shares)]
                )
                first = False
        first = True
    columns = ("by", "group", "rows", *(word for word, _ in top))
    right = frozenset(range(2, len(columns)))
    return Table("Share of each value, % of the group's rows that have one", columns, rows, source, right=right)


def sky(subject: Subject, gathered: Gathered | None, roles: Roles | None) -> Section:
    """Return the chapter of maps."""
    section = Section("sky", "Sky: density, scores, domain shift")
    if subject.finished is None or gathered is None or roles is None:
        section.blocks.append(Note("There are no values before a version is published."))
        return section
    cap, sums = gathered.cap, gathered.cells
    if cap is None or sums is None:
        section.blocks.append(Note("There is no row with a position."))
        return section
    kind = "Mollweide's" if cap.is_wide else "Lambert's azimuthal"
    section.blocks.append(
        Note(
            f"{len(sums.cells):,} cells of HEALPix order {sums.order} have rows. {kind} projection, equal areas, "
            "east left, ICRS. Colours go from the 1st to the 99th percentile of the cells, unless the scale says "
            "0 to 1."
        )
    )
    section.blocks.append(_maps(subject.finished, gathered, roles))
    if roles.left_out:
        names = ", ".join(column.name for column in roles.left_out)
        section.blocks.append(Note(f"Scores that are not mapped, unless --scores names them: {names}."))
    if not roles.known:
        section.blocks.append(
            Note("No column tells how like the training rows a row is: there is no map of domain shift.")
        )
    return section


def _maps(finished: Finished, gathered: Gathered, roles: Roles) -> Block:
    cap, sums = gathered.cap, gathered.cells
    assert cap is not None
    assert sums is not None
    position = f"columns {finished.position[0]}, {finished.position[1]} of every row"
    figures = []
    rows = sums.rows.astype(np.float64)
    shade = Shade("map of the density of rows", rows, "rows per cell", log=True)
    figures.append(Figure(draw_map(sums, cap, shade), "Density: rows per cell", position))
    for column in roles.scores:
        values = sums.mean(column.name)
        likely = column.ucd.startswith("stat.probability") and np.nanmin(values, initial=0) >= 0
        fixed = (0.0, 1.0) if likely and np.nanmax(values, initial=0) <= 1 else None
        label = f"mean {column.name}" + (f" ({column.unit})" if column.unit else "")
        shade = Shade(f"map of the mean of {column.name}", values, label, fixed=fixed)
        figures.append(
            Figure(
                draw_map(sums, cap, shade),
                f"Score: {label} of each cell" if likely else f"{label} of each cell",
                f"column {column.name}",
            )
        )
    for column in roles.known:
        label = f"share of rows with {column.name} < {UNLIKE_P:g}"
        shade = Shade(f"map of the {label}", sums.mean(column.name), label, fixed=(0.0, 1.0))
        caption = f"Domain shift: {label}; {UNLIKE_P:g} is expected of rows like those of training"
        figures.append(Figure(draw_map(sums, cap, shade), caption, f"column {column.name}"))
    shade = Shade("map of the share of flagged rows", sums.mean("_flagged"), "share of rows", fixed=(0.0, 1.0))
    flag = finished.columns[-1].name
    figures.append(Figure(draw_map(sums, cap, shade), "Share of rows with a flag", f"column {flag}"))
    return Figures(tuple(figures))
