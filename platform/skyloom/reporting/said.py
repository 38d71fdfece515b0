"""Chapters that need no look at rows: what ran, on what, with which weights; the card; the time it took."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from skyloom.models.card import Card, Score
from skyloom.reporting.charts import reliability
from skyloom.reporting.content import Block, Fact, Facts, Figure, Figures, Note, Section, Table, cut
from skyloom.reporting.subject import Run, Subject
from skyloom.reporting.svg import number

__all__ = ["calibration", "timing", "what_ran"]

STATES = {
    "running": "This layer is not finished: a run is at work on it.",
    "computed": "This layer is not finished: every partition is committed, and no version was published.",
    "stopped": "This layer is not finished: its run stopped, and said why.",
    "died": "This layer is not finished: its run ended without a word.",
    "aborted": "This layer is not finished: its job was aborted, and does not go on.",
}
"""What an unfinished layer says at the top, by its state."""


def what_ran(subject: Subject) -> Section:
    """Return the chapter on model, weights, catalog and place."""
    section = Section("ran", "What ran, on what, with which weights")
    section.blocks += [Note(note, "warning") for note in subject.notes]
    identity, model = subject.identity, subject.identity.get("model", {})
    job = subject.file("job.json")
    version = subject.finished.version if subject.finished else None
    facts = [
        Fact("layer", subject.layer, "the request"),
        Fact("store", subject.store, "the request"),
        Fact("version", "none published" if version is None else str(version), f"{subject.layer}/refs"),
        Fact(
            "state of the newest run", subject.state or "not known: there is no log", f"{subject.layer}/jobs/*/log"
        ),
        Fact("job id", subject.job_id, job),
        Fact("model", str(model.get("name", "")), f"{job}: identity.model.name"),
        Fact("question", subject.question or "not said", subject.file("provenance.json: question")),
        Fact("weights", str(model.get("weights") or "none: it learns nothing"), f"{job}: identity.model.weights"),
        Fact("digest of the weights", str(model.get("weights_digest") or "none"), f"{job}: identity.model"),
        Fact("digest of the code", str(model.get("code") or "none"), f"{job}: identity.model.code"),
        Fact("settings", _json(model.get("settings") or {}), f"{job}: identity.model.settings"),
        Fact("snapshot of the catalog", str(identity.get("catalog", {}).get("snapshot", "")), f"{job}: identity"),
        Fact("partitions", f"{len(subject.planned):,}", f"{job}: partitions"),
        Fact("rows", f"{sum(rows for _, rows in subject.planned):,}", f"{job}: partitions"),
        Fact("bad rows", str(identity.get("on_bad_row", "")), f"{job}: identity.on_bad_row"),
        Fact("versions", _json(identity.get("versions", {})), f"{job}: identity.versions"),
    ]
    if identity.get("numerics"):
        facts.append(Fact("computed with", _json(identity["numerics"]), f"{job}: identity.numerics"))
    section.blocks.append(Facts(tuple(facts)))
    section.blocks.append(_catalog(subject))
    section.blocks += _reads(subject)
    return section


def _catalog(subject: Subject) -> Block:
    catalog = subject.catalog
    if catalog is None:
        return Note(f"The catalog is not looked at: {subject.catalog_trouble}", "warning")
    rows = [
        Fact("catalog", catalog.name, subject.catalog_said),
        Fact("lies at", catalog.root, subject.catalog_said),
        *(
            Fact(word, text, "the catalog's descriptor or properties")
            for word, text in catalog.notes.items()
            if text
        ),
    ]
    return Facts(tuple(rows), "The catalog")


def _reads(subject: Subject) -> list[Block]:
    identity, job = subject.identity, subject.file("job.json")
    read = [
        [name, layer or "the catalog", found, unit]
        for name, (layer, found, unit) in sorted(identity.get("columns", {}).items())
    ]
    tensors = [
        [name, "a tensor store", digest, unit]
        for name, (digest, unit) in sorted(identity.get("tensors", {}).items())
    ]
    if not read and not tensors:
        return []
    columns = ("the model's name", "from", "there called, or digest", "unit")
    return [Table("Columns and tensors that the model read", columns, [*read, *tensors], f"{job}: identity")]


def calibration(subject: Subject) -> Section:
    """Return the chapter on what the card of the weights promises."""
    section = Section("card", "Calibration, scores and baselines, from the card")
    source = subject.file("provenance.json: card")
    card = subject.finished.card if subject.finished else None
    if card is None:
        known = (
            "Nothing was published." if subject.finished is None else "The model learns nothing, and has no card."
        )
        section.blocks.append(Note(f"{known} There is no calibration to show."))
        return section
    section.blocks.append(
        Note("These numbers were measured when the weights were made, on held-out objects; not on this catalog.")
    )
    section.blocks.append(_about(card, source))
    section.blocks += _reliability(card, source)
    section.blocks.append(_scores(card.scores, source))
    if card.subgroups:
        section.blocks.append(_subgroups(card, source))
    return section


def _about(card: Card, source: str) -> Facts:
    texts = {
        "weights": f"{card.name} / {card.variant}: {card.title}",
        "source": card.source,
        "made for": card.intended_use,
        "limits": card.limits,
        "out of scope": card.out_of_scope,
        "licence": card.licence,
        "made by": card.command,
        "scores by": card.evaluate,
    }
    rows = [Fact(name, text, source) for name, text in texts.items() if text]
    if card.domain is not None:
        kind = "simulated" if card.domain.simulated else "real"
        said = f"{card.domain.survey} ({kind}); {card.domain.selection}; depth {card.domain.depth}"
        rows.append(Fact("trained on", said, f"{source}.domain"))
    return Facts(tuple(rows), "The weights")


def _reliability(card: Card, source: str) -> list[Block]:
    kinds = list(dict.fromkeys(each.what for each in card.reliability))
    if not kinds:
        return [Note("The card has no reliability table.")]
    figures = []
    for what in kinds:
        bins = [each for each in card.reliability if each.what == what]
        objects = sum(each.n for each in bins)
        caption = f"{what}: observed over said, {objects:,} held-out objects; on the line is calibrated"
        figures.append(Figure(reliability(bins, what=what), caption, f"{source}.reliability"))
    return [Figures(tuple(figures), "Reliability")]


def _scores(scores: Sequence[Score], source: str) -> Table:
    metrics = list(dict.fromkeys(score.metric for score in scores))
    listed = [score for metric in metrics for score in scores if score.metric == metric]
    rows = []
    for before, score in zip([None, *listed[:-1]], listed, strict=True):
        metric = "" if before is not None and before.metric == score.metric else score.metric
        rows.append([metric, score.who, number(score.value), _error(score.error), score.better])
    ours = frozenset(k for k, score in enumerate(listed) if score.who.startswith("ours"))
    columns = ("metric", "whose", "value", "± 1 sigma", "better is")
    title = "Scores: ours in bold, beside baselines and what was reported"
    return Table(title, columns, rows, f"{source}.scores", right=frozenset({2, 3}), strong=ours)


def _subgroups(card: Card, source: str) -> Table:
    rows = [
        [s.metric, s.by, s.group, f"{s.n:,}", number(s.value), _error(s.error), s.reason] for s in card.subgroups
    ]
    columns = ("metric", "by", "group", "objects", "value", "± 1 sigma", "why none")
    return Table("Scores by subgroup", columns, rows, f"{source}.subgroups", right=frozenset({3, 4, 5}))


def _error(value: float) -> str:
    return number(value) if math.isfinite(value) else ""


def timing(subject: Subject) -> Section:
    """Return the chapter on the time that runs took."""
    section = Section("timing", "Timing")
    if not subject.runs:
        section.blocks.append(Note("The job has no log: nobody knows how long it took."))
        return section
    source = subject.file("log")
    section.blocks.append(_runs(subject.runs, source))
    newest = max(subject.runs, key=lambda run: run.tally.begun_s)
    if newest.tally.workers:
        section.blocks.append(_workers(newest, f"{source}/{newest.log}"))
    if newest.slowest:
        rows = [
            [key, f"{n:,}", f"{wall:.2f}", f"{n / wall if wall else 0:,.0f}"] for wall, key, n in newest.slowest
        ]
        columns = ("partition", "rows", "seconds", "rows per second")
        table = Table(
            "Slowest partitions of the newest run",
            columns,
            rows,
            f"{source}/{newest.log}",
            right=frozenset({1, 2, 3}),
        )
        section.blocks.append(table)
    return section


def _runs(runs: Sequence[Run], source: str) -> Table:
    rows = []
    for run in runs:
        tally = run.tally
        outcome = tally.stopped or tally.failure or "to its end"
        wall_s = tally.last_s - tally.begun_s
        rows.append(
            [
                _utc(tally.begun_s),
                f"{wall_s:,.1f}",
                f"{tally.ended:,}",
                f"{tally.failed:,}",
                f"{tally.rows_ended:,}",
                f"{tally.rate():,.0f}" if wall_s else "",
                cut(outcome),
            ]
        )
    columns = ("begun (UTC)", "seconds", "partitions", "failed", "rows", "rows per second", "went")
    return Table("Runs of this job", columns, rows, source, right=frozenset(range(1, 6)))


def _workers(run: Run, source: str) -> Table:
    names = list(dict.fromkeys(name for worker in run.tally.workers.values() for name in worker.seconds))
    workers = sorted(run.tally.workers.items())
    rows = [
        [
            str(process),
            f"{each.partitions:,}",
            f"{each.rows:,}",
            f"{each.busy_s:,.2f}",
            *(f"{each.seconds.get(name, 0.0):,.2f}" for name in names),
        ]
        for process, each in workers[:50]
    ]
    if len(workers) > 1:
        total = [each for _, each in workers]
        summed = (sum(each.seconds.get(name, 0.0) for each in total) for name in names)
        rows.append(
            [
                "all",
                f"{sum(e.partitions for e in total):,}",
                f"{sum(e.rows for e in total):,}",
                f"{sum(e.busy_s for e in total):,.2f}",
                *(f"{seconds:,.2f}" for seconds in summed),
            ]
        )
    columns = ("process", "partitions", "rows", "busy s", *(name.removesuffix("_s") + " s" for name in names))
    title = "Workers of the newest run: seconds by what they went into"
    return Table(title, columns, rows, source, right=frozenset(range(1, len(columns))))


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S") if time_s else ""


def _json(value: object) -> str:
    return cut(json.dumps(value, ensure_ascii=False, sort_keys=True), 600)
