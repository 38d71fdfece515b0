"""What an import file says: which tables, which columns, in which units, with which sentinels."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skyloom.catalog.descriptor import NAME_PATTERN, ColumnNote, expand_variables, load_model
from skyloom.columns import arrow_type
from skyloom.errors import ErrorKind, NotFoundError, SpecError

__all__ = [
    "ColumnSpec",
    "ImportSpec",
    "ObjectsSpec",
    "PartitionsSpec",
    "SourcesSpec",
    "TableSpec",
    "load_import_spec",
]

FORMATS: Mapping[str, str] = {
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet",
    ".fits": "fits", ".fit": "fits", ".fits.gz": "fits", ".fz": "fits",
    ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".tsv.gz": "csv",
    ".ecsv": "ecsv", ".ecsv.gz": "ecsv",
    ".xml": "votable", ".vot": "votable", ".votable": "votable",
}  # fmt: skip
"""Format by the ending of the file's name."""


class ColumnSpec(ColumnNote):
    """One column of the catalog: where it comes from, and what is done to it, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str | None = Field(default=None, alias="from", description="name in the input; the same by default")
    null_values: tuple[float | int | str, ...] = Field(
        default=(), description="values of the input that mean 'missing', such as -99; nan may be one"
    )
    words: dict[str, str] = Field(
        default_factory=dict, description="value of the input -> text; every value must be listed"
    )
    scale: float | None = Field(default=None, description="multiply by this (in float64) to get the unit declared")
    offset: float | None = Field(default=None, description="then add this")
    dtype: str | None = Field(default=None, description="Arrow type to store; the input's by default")

    @model_validator(mode="after")
    def _known_type(self) -> ColumnSpec:
        if self.dtype is not None:
            arrow_type(self.dtype)
        return self


class TableSpec(BaseModel):
    """One input table, in one file or many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[str, ...] = Field(
        min_length=1, description="paths or glob patterns; ${VARIABLE} is replaced from the environment"
    )
    format: Literal["parquet", "fits", "csv", "ecsv", "votable"] | None = Field(
        default=None, description="by the name's ending if not given"
    )
    hdu: int | str | None = Field(default=None, description="FITS extension; the first table by default")
    delimiter: str = Field(default="", description="of CSV; a comma, or a tab for .tsv, by default")
    comment: str = Field(default="", description="CSV lines that start with this are skipped")
    columns: dict[str, ColumnSpec] = Field(default_factory=dict, description="output name -> column")
    keep: Literal["listed", "all"] = Field(
        default="all", description="all: columns that are not listed come along as they are"
    )

    def paths(self) -> tuple[Path, ...]:
        """Return the files that the patterns match, in the order of patterns, then names.

        Raises
        ------
        NotFoundError
            NO_SUCH_FILE if a pattern matches nothing.
        """
        found: list[Path] = []
        for pattern in self.files:
            text = expand_variables(pattern, "files")
            matches = [text]
            if glob.has_magic(text):
                matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - it may be absolute
            paths = [Path(match) for match in matches if Path(match).is_file()]
            if not paths:
                msg = f"no file matches {text!r} (from {pattern!r} in `files`); correct the path"
                raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, file=text)
            found += paths
        return tuple(dict.fromkeys(found))

    def format_of(self, path: Path) -> str:
        """Return the format of a file: the one declared, or by its ending.

        Raises
        ------
        SpecError
            BAD_PARAMETER if the ending says nothing.
        """
        if self.format is not None:
            return self.format
        name = path.name.lower()
        for ending, known in FORMATS.items():
            if name.endswith(ending):
                return known
        msg = f"{path}: the ending tells no format; set format = one of {sorted(set(FORMATS.values()))}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, file=str(path))


class ObjectsSpec(TableSpec):
    """The table whose rows become the catalog's."""

    id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$",
        description="input column that names a row; unique, kept exact, under its own name",
    )
    row_number: str | None = Field(
        default=None,
        pattern=NAME_PATTERN,
        description="make an id column of this name: the row's place in the input",
    )
    ra: str | tuple[str, str, str] = Field(
        default="ra", description="input column, or three columns (h, m, s or d, m, s); becomes `ra` in degrees"
    )
    dec: str | tuple[str, str, str] = Field(
        default="dec", description="likewise, (d, m, s); becomes `dec` in degrees"
    )
    dec_sign: str | None = Field(
        default=None, description="column with + or -, where degrees of -0 are stored as an integer"
    )
    ra_unit: Literal["deg", "hour", "rad"] = Field(default="deg", description="hour for h, m, s")
    dec_unit: Literal["deg", "rad"] = Field(default="deg", description="of `dec`")
    wrap_ra: bool = Field(default=False, description="accept right ascensions in [-180, 0) and 360 itself")


class SourcesSpec(TableSpec):
    """The table of light-curve points that are nested into their objects."""

    id: str = Field(description="input column with the object's id")
    time: str = Field(default="mjd", description="output name of the time that points are sorted by")
    column: str = Field(default="lc", pattern=NAME_PATTERN, description="name of the nested column")
    orphans: Literal["error", "drop"] = Field(default="error", description="points whose object is missing")


class PartitionsSpec(BaseModel):
    """How finely the sky is cut."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(default=100_000, ge=1, description="split a HEALPix pixel that holds more rows than this")
    bytes: int | None = Field(default=None, ge=1, description="split by size in memory instead")
    lowest_order: int = Field(default=0, ge=0, le=10, description="never coarser than this HEALPix order")
    highest_order: int = Field(
        default=8, ge=0, le=11, description="never finer; a crowded pixel stays large there"
    )


class ImportSpec(BaseModel):
    """One import: foreign tables in, one HATS catalog out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN, description="the catalog's name")
    output: str = Field(default="", description="directory to make; it must not exist, or be empty")
    title: str = Field(default="", description="one line")
    description: str = Field(default="", description="a paragraph")
    licence: str = Field(default="", description="terms of use of the data")
    citation: str = Field(default="", description="what to cite")
    objects: ObjectsSpec
    sources: SourcesSpec | None = None
    partitions: PartitionsSpec = PartitionsSpec()
    threads: int = Field(default=2, ge=1, description="threads of the in-process Dask client that cuts the sky")

    @model_validator(mode="after")
    def _names_are_free(self) -> ImportSpec:
        reserved = {"_healpix_29", *([self.sources.column] if self.sources else [])}
        for name in reserved & self.objects.columns.keys():
            raise ValueError(f"column {name!r} is made by the import; give the other one another name")
        for name in {"ra", "dec"} & self.objects.columns.keys():
            note = self.objects.columns[name]
            if note.model_fields_set - {"unit", "ucd", "description"}:
                raise ValueError(f"column {name!r} is the position: say where it comes from in objects.{name}")
        if self.objects.id and self.objects.row_number:
            raise ValueError("give id or row_number, not both: a row has one name")
        if self.sources and not self.objects.id:
            raise ValueError("points find their object by its id: set objects.id")
        return self

    def own_names(self) -> tuple[str, ...]:
        """Return the names of the id and position columns of the catalog."""
        first = self.id_column
        return (*((first,) if first else ()), "ra", "dec")

    @property
    def id_column(self) -> str | None:
        """The catalog's id column, or None."""
        return self.objects.id or self.objects.row_number


def load_import_spec(path: str | Path, **changes: Any) -> ImportSpec:
    """Read an import file (TOML). Relative input paths start at the file's own folder.

    Parameters
    ----------
    path : str or Path
        Such as ``catalogs/imports/plasticc.toml``.
    **changes
        Top-level fields to set instead, such as ``output="/data/plasticc"``.

    Raises
    ------
    NotFoundError
        NO_SUCH_FILE.
    SpecError
        UNKNOWN_KEY or BAD_PARAMETER, naming the file and the key.
    """
    folder = Path(path).absolute().parent
    spec = load_model(ImportSpec, Path(path))
    tables = {"objects": spec.objects, "sources": spec.sources}
    rooted = {
        name: table.model_copy(update={"files": tuple(_rooted(file, folder) for file in table.files)})
        for name, table in tables.items()
        if table is not None
    }
    return spec.model_copy(update={**rooted, **changes})


def _rooted(file: str, folder: Path) -> str:
    """Return a path or pattern as absolute; a ${VARIABLE} at its start says where by itself."""
    return file if file.startswith("${") else str(folder / file)
