"""JobSpec: what a job file may say, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyloom.errors import ErrorKind, NotFoundError, SpecError, close_matches
from skyloom.storage import check_location, check_name

__all__ = ["InputSpec", "JobSpec", "OutputSpec", "RunSpec", "load_job", "template"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Section):
    """``[input]``: what is read."""

    catalog: str = Field(description="name of a descriptor in catalogs/, or path or URL of a HATS catalog")
    snapshot: str | None = Field(
        default=None, description="pin the input: refuse to run if the catalog's digest is another one"
    )
    layers: tuple[str, ...] = Field(
        default=(), description="layers of the catalog whose columns the model reads too: names, or paths"
    )
    tensors: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "stores of the images or spectra that the model reads, by its names for them: paths or URLs; "
            "${VARIABLES} are replaced"
        ),
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="where a column that the model reads has another name in the catalog"
    )
    units: dict[str, str] = Field(
        default_factory=dict, description="units of catalog columns, or of tensors, whose files do not state them"
    )


class OutputSpec(_Section):
    """``[output]``: where the layer goes."""

    store: str | None = Field(
        default=None,
        description="directory or s3:// URL of layers; by default the one that the catalog's descriptor names",
    )


class RunSpec(_Section):
    """``[run]``: how, which never changes a value."""

    batch_rows: int = Field(default=8192, ge=1, description="rows that the model gets at once")
    task_memory_bytes: int = Field(
        default=4_000_000_000, ge=1, description="refuse partitions that are projected to need more"
    )
    max_bad_fraction: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="end with exit code 3 if more rows than this are in quarantine, and give up a partition in "
        "which more rows than this (and more than 10) kill, hang or exhaust a process",
    )
    task_deadline_s: float = Field(
        default=30.0,
        gt=0,
        description="shortest time after which a partition counts as hung; longer where the pace asks for it",
    )
    partitions_per_task: int | None = Field(
        default=None, ge=1, description="partitions that a worker gets at once; measured out by default"
    )


class JobSpec(_Section):
    """A job: one model over one catalog into one layer."""

    job: str = Field(description="name of the job")
    model: str = Field(description="name of a model: see `skyloom model list`")
    weights: str | None = Field(
        default=None,
        description="which weights of the model: a name, or the path of their folder; its default ones if unset",
    )
    layer: str = Field(description="name of the layer that is written")
    on_bad_row: Literal["quarantine", "fail"] = Field(
        default="quarantine", description="what a row on which the model raises does: null and flag, or fail"
    )
    input: InputSpec
    model_settings: dict[str, Any] = Field(
        default_factory=dict, alias="model_config", description="the model's own settings"
    )
    output: OutputSpec = OutputSpec()
    run: RunSpec = RunSpec()


def load_job(path: str | Path) -> JobSpec:
    """Read a job file.

    Parameters
    ----------
    path : str or Path
        A TOML file.

    Raises
    ------
    NotFoundError
        If there is no such file.
    SpecError
        If it is not TOML, has a misspelt key (the close ones are offered), lacks one, or a
        value is of the wrong type or out of range. Every mistake is listed.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = close_matches(path.name, [p.name for p in path.parent.glob("*.toml")])
        msg = f"no job file {path}; in {path.parent}/ {near}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, path=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        msg = f"{path} is no TOML file: {error}"
        raise SpecError(msg, kind=ErrorKind.BAD_JOB_FILE, path=str(path)) from error
    return parse_job(values, where=str(path))


def parse_job(values: dict[str, Any], *, where: str) -> JobSpec:
    """Check the contents of a job file; see `load_job`."""
    try:
        job = JobSpec.model_validate(values)
    except ValidationError as error:
        mistakes = "\n".join(f"  {_mistake(dict(detail))}" for detail in error.errors())
        kinds = {detail["type"] for detail in error.errors()}
        kind = ErrorKind.UNKNOWN_KEY if kinds == {"extra_forbidden"} else ErrorKind.BAD_JOB_FILE
        msg = f"{where} cannot be used:\n{mistakes}\nSee `skyloom run --help-job` for every key"
        raise SpecError(msg, kind=kind, path=where) from None
    check_name(job.job, what="job")
    check_name(job.layer, what="layer")
    check_location(job.input.catalog, what="catalog")
    check_location(job.output.store or "", what="store")
    for layer in job.input.layers:
        check_location(layer, what="layer")
    for store in job.input.tensors.values():
        check_location(store, what="tensor store")
    return job


_SECTIONS: dict[str, type[BaseModel]] = {"input": InputSpec, "output": OutputSpec, "run": RunSpec}


def _mistake(detail: dict[str, Any]) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        section = _SECTIONS.get(location[0], JobSpec) if len(location) > 1 else JobSpec
        known = [field.alias or name for name, field in section.model_fields.items()]
        return f"there is no key {key!r}: {close_matches(location[-1], known)}"
    if detail["type"] == "missing":
        return f"the key {key!r} is missing"
    return f"{key} = {detail['input']!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def template() -> str:
    """Return a commented job file with every key, made from the schema itself."""
    lines = ["# A skyloom job: run it with  skyloom run FILE.toml", ""]
    lines += _lines(JobSpec, skip=set(_SECTIONS) | {"model_settings"})
    for name, section in _SECTIONS.items():
        lines += ["", f"[{name}]", *_lines(section)]
    lines += ["", "# The model's own settings: see `skyloom model describe NAME`", "# [model_config]"]
    return "\n".join(lines) + "\n"


_EXAMPLES = {
    "job": '"flares"',
    "model": '"lightcurve-features"',
    "layer": '"flares"',
    "catalog": '"plasticc"',
    "snapshot": '"sha256:…"',
    "weights": '"…"',
    "store": '"layers"',
    "tensors": '{ cutout = "stores/plasticc-64" }',
    "columns": '{ "lc.flux" = "lc.mag" }',
    "units": '{ "lc.flux" = "mag" }',
    "layers": '["lightcurve-features"]',
    "partitions_per_task": "16",
}


def _lines(section: type[BaseModel], skip: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    lines = []
    for name, field in section.model_fields.items():
        if name in skip:
            continue
        lines.append(f"# {field.description}")
        default = repr(field.default).replace("'", '"')
        value = _EXAMPLES.get(name, default)
        required = field.is_required()
        lines.append(f"{'' if required else '# '}{name} = {value}")
    return lines
