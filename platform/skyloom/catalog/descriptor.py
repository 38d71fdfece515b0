"""Descriptors: what is known about a catalog that its files do not say.

A descriptor is a TOML file in ``catalogs/``: where the catalog lies, which column is the id,
units and UCDs, licence and citation. It holds no data.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyloom.catalog.files import local_path
from skyloom.catalog.nesting import fields_of, is_list_of_structs
from skyloom.errors import ErrorKind, NotFoundError, SpecError, close_matches

__all__ = ["ColumnNote", "Descriptor", "list_descriptors", "load_descriptor", "load_model"]

Model = TypeVar("Model", bound=BaseModel)

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
"""What a catalog, layer or column may be called: a file name everywhere, and nothing else."""


class ColumnNote(BaseModel):
    """What a descriptor says about one column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str = Field(default="", description="IVOA/astropy unit; empty is dimensionless")
    ucd: str = Field(default="", description="IVOA UCD1+ word")
    description: str = Field(default="", description="one line")


class Descriptor(BaseModel):
    """A catalog as ``catalogs/NAME.toml`` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN, description="short name, that of the file")
    title: str = Field(default="", description="one line")
    location: str = Field(
        min_length=1,
        description="path or URL of the HATS catalog; ${VARIABLE} is replaced from the "
        "environment, and a relative path starts at the descriptor's folder",
    )
    id_column: str | None = Field(default=None, description="the column that names a row")
    licence: str = Field(default="", description="terms of use of the data, SPDX where there is one")
    citation: str = Field(default="", description="what to cite")
    description: str = Field(default="", description="a paragraph")
    layers: str = Field(default="", description="the folder or URL where layers of this catalog lie")
    columns: dict[str, ColumnNote] = Field(
        default_factory=dict, description="notes on columns; a field of a nested one is dotted"
    )

    def annotate(self, schema: pa.Schema) -> pa.Schema:
        """Return `schema` with this descriptor's units, UCDs and descriptions laid over it.

        Raises
        ------
        SpecError
            UNKNOWN_COLUMN if the descriptor describes a column that the schema lacks.
        """
        return annotate(schema, self.columns, f"descriptor {self.name!r}")


def annotate(schema: pa.Schema, notes: dict[str, ColumnNote], whose: str) -> pa.Schema:
    """Return `schema` with the notes' non-empty words in its fields' metadata.

    Raises
    ------
    SpecError
        UNKNOWN_COLUMN if a note is about a column that the schema lacks.
    """
    known = {field.name for field in schema}
    known |= {f"{field.name}.{part.name}" for field in schema for part in fields_of(field.type)}
    for name in notes:
        if name not in known:
            msg = f"{whose} describes column {name!r}; {close_matches(name, known)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, column=name)
    return pa.schema([_annotated(field, notes) for field in schema], metadata=schema.metadata)


def _annotated(field: pa.Field, notes: dict[str, ColumnNote]) -> pa.Field:
    inside = {name.partition(".")[2]: note for name, note in notes.items() if name.startswith(f"{field.name}.")}
    if inside:
        field = field.with_type(_noted_type(field.type, inside))
    return _noted(field, notes.get(field.name))


def _noted_type(dtype: pa.DataType, notes: dict[str, ColumnNote]) -> pa.DataType:
    inner = dtype.value_type if is_list_of_structs(dtype) else dtype
    struct = pa.struct([_noted(part, notes.get(part.name)) for part in inner])
    return pa.list_(struct) if is_list_of_structs(dtype) else struct


def _noted(field: pa.Field, note: ColumnNote | None) -> pa.Field:
    if note is None:
        return field
    said = {"unit": note.unit, "ucd": note.ucd, "description": note.description}
    words = {key.encode(): text.encode() for key, text in said.items() if text}
    return field.with_metadata({**(field.metadata or {}), **words})


def load_descriptor(path: str | Path) -> Descriptor:
    """Read ``catalogs/NAME.toml``; a relative location comes back absolute.

    Variables in the location are replaced when the catalog is opened, so that a descriptor can
    be listed and read where they are not set.

    Raises
    ------
    NotFoundError
        NO_SUCH_FILE if there is no such file.
    SpecError
        BAD_PARAMETER or UNKNOWN_KEY, naming the file and the key.
    """
    path = Path(path)
    found = load_model(Descriptor, path)
    location = found.location
    if local_path(location) is not None and not location.startswith(("${", "file:")):
        location = str((path.parent / location).resolve())
    return found.model_copy(update={"location": location})


def list_descriptors(folder: str | Path) -> tuple[Path, ...]:
    """Return the descriptor files of a folder, by name; of no folder, none."""
    folder = Path(folder)
    return tuple(sorted(folder.glob("*.toml"))) if folder.is_dir() else ()


def expand_variables(text: str, where: Path | str) -> str:
    """Replace each ``${NAME}`` by the environment's value.

    Raises
    ------
    NotFoundError
        NO_SUCH_FILE if the environment has no such variable.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            msg = f"{where}: {text!r} needs the environment variable {name}, which is not set; export it"
            raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, variable=name)
        return os.environ[name]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


def load_model(kind: type[Model], path: Path) -> Model:
    """Read a TOML file into a frozen model, with errors that name the file and the key.

    Raises
    ------
    NotFoundError
        NO_SUCH_FILE.
    SpecError
        BAD_PARAMETER, or UNKNOWN_KEY with the close ones.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        close = close_matches(path.name, [p.name for p in path.parent.glob("*.toml")])
        raise NotFoundError(f"{path} does not exist; {close}", kind=ErrorKind.NO_SUCH_FILE) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not TOML: {error}", kind=ErrorKind.BAD_PARAMETER) from error
    return validated(kind, data, str(path))


def validated(kind: type[Model], data: dict[str, Any], where: str) -> Model:
    """Validate `data` as a model; what pydantic finds becomes one SpecError."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            msg = f"{where}: unknown key {key!r}; {close_matches(key, kind.model_fields)}"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_KEY, key=key) from error
        found = f", found {first['input']!r}" if first["type"] != "missing" else ""
        msg = f"{where}: {key}: {first['msg']}{found}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, key=key) from error
