"""From chapters to one HTML file: templates that escape, a style sheet inside, no script, nothing to fetch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from skyloom.reporting.content import Section
from skyloom.reporting.subject import Subject

__all__ = ["POLICY", "page"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content security policy of a report: nothing is fetched and nothing runs, whatever a catalog holds."""


def page(subject: Subject, sections: Sequence[Section]) -> str:
    """Return the report as HTML."""
    folder = files(__package__) / "templates"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.html.j2", "blocks.html.j2")}
    environment = Environment(
        loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - ours
    return environment.get_template("report.html.j2").render(
        subject=subject, sections=sections, style=style, policy=POLICY
    )
