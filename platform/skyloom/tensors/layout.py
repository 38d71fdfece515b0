"""What a store says of itself: the layout at its root, and a statement per partition.

Both are attributes of Zarr groups, so that any Zarr reader sees them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from skyloom.errors import DataError, ErrorKind, SpecError, close_matches
from skyloom.spectra.grid import Grid
from skyloom.storage import canonical_json, sha256_bytes

__all__ = ["CODECS", "EXTRAS", "FORMAT", "Layout", "Statement"]

FORMAT = 1
"""Version of the layout on disk; readers refuse one that they do not know."""
KINDS = ("cutouts", "spectra")
DTYPES = ("float32", "float16")
EXTRAS = ("mask", "psf_fwhm_arcsec")
"""Arrays that a store may have beside values and coverage: uint8 (N, *shape), float32 (N, C)."""
CHUNK_BYTES = 2 << 20
"""About what one chunk holds: see decisions/0012."""
SHARD_BYTES = 64 << 20
"""About what one shard holds, which is what a writer keeps in memory."""


def _blosc(name: Any) -> list[Any]:
    from zarr.codecs import BloscCodec

    return [BloscCodec(cname=name, clevel=5, shuffle="shuffle")]


def _zstd() -> list[Any]:
    from zarr.codecs import ZstdCodec

    return [ZstdCodec(level=1)]


CODECS: Mapping[str, Callable[[], list[Any]]] = {
    "none": list,
    "blosc-lz4": lambda: _blosc("lz4"),
    "blosc-zstd": lambda: _blosc("zstd"),
    "zstd": _zstd,
}
"""Compressors by name; a crc32c follows each, always."""


@dataclass(frozen=True)
class Layout:
    """What all partitions of a store have in common.

    Raises
    ------
    SpecError
        If shape, type, codec, bands or wavelengths make no sense.
    """

    kind: str
    """``"cutouts"`` or ``"spectra"``."""
    catalog: str
    """Name of the catalog that the rows belong to."""
    snapshot: str
    """Digest of that catalog."""
    keys: tuple[str, ...]
    """Columns of the catalog that say which row a row is."""
    shape: tuple[int, ...]
    """Of one row: (C, H, W) or (C, L)."""
    dtype: str = "float32"
    unit: str = ""
    """Of the values; of a spectrum, of its flux: the inverse variance is in 1 / unit**2."""
    bands: tuple[str, ...] = ()
    """Along the first axis: passbands; of a spectrum, ``("flux", "ivar")`` or ``("flux",)``."""
    pixel_arcsec: float | None = None
    wavelength: Mapping[str, Any] | None = None
    """Grid of a spectrum, as `skyloom.spectra.Grid` says it: ``{"start": 3.57, "step": 1e-4, "log10": true,
    "unit": "Angstrom", "medium": "vacuum"}``."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """What the tensors were made of, and how."""
    codec: str = "none"
    chunk_rows: int = 0
    """Rows that are read at least; chosen by bytes where it is 0."""
    shard_rows: int = 0
    """Rows in one file; a multiple of `chunk_rows`."""
    extras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("keys", "shape", "bands", "extras"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check("kind", self.kind, KINDS)
        self._check("dtype", self.dtype, DTYPES)
        self._check("codec", self.codec, CODECS)
        for extra in self.extras:
            self._check("extra array", extra, EXTRAS)
        if len(self.shape) < 2 or min(self.shape) < 1:
            raise _wrong(f"a row is (C, H, W) or (C, L), of positive lengths; got {self.shape}")
        if self.bands and len(self.bands) != self.shape[0]:
            raise _wrong(f"{len(self.bands)} bands ({', '.join(self.bands)}) for {self.shape[0]} channels")
        if self.pixel_arcsec is not None and not self.pixel_arcsec > 0:
            raise _wrong(f"pixel_arcsec must be positive, got {self.pixel_arcsec}")
        if self.wavelength is not None:
            Grid.of(self.wavelength, self.shape[-1])
        chunk = self.chunk_rows or max(1, CHUNK_BYTES // self.row_bytes)
        object.__setattr__(self, "chunk_rows", chunk)
        object.__setattr__(
            self, "shard_rows", self.shard_rows or chunk * max(1, SHARD_BYTES // (chunk * self.row_bytes))
        )
        if self.shard_rows % chunk:
            raise _wrong(f"shard_rows={self.shard_rows} is no multiple of chunk_rows={chunk}")

    @staticmethod
    def _check(what: str, value: str, known: Any) -> None:
        if value not in known:
            raise _wrong(f"there is no {what} {value!r}: {close_matches(value, known)}")

    @property
    def grid(self) -> Grid | None:
        """Wavelengths of a spectrum; None if the store does not state them."""
        return None if self.wavelength is None else Grid.of(self.wavelength, self.shape[-1])

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, uncompressed."""
        count = 2 if self.dtype == "float16" else 4
        for length in self.shape:
            count *= length
        return count

    @property
    def channels(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    def to_json(self) -> bytes:
        """Return the metadata of the root group."""
        return group_json({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        DataError
            If it is no such metadata, or of another format.
        """
        said = attributes(data, where=where)
        if said.pop("format", None) != FORMAT:
            msg = f"{where} is of another format than {FORMAT}, which this skyloom reads; update skyloom"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=where)
        try:
            return cls(**said)
        except (TypeError, SpecError) as error:
            msg = f"{where} says something that a tensor store does not: {error}"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=where) from error

    def differences(self, other: Layout) -> list[str]:
        """Return what two layouts do not agree on, as ``"shape: (3, 63, 63) and (3, 64, 64)"``."""
        mine, others = asdict(self), asdict(other)
        return [f"{name}: {value} and {others[name]}" for name, value in mine.items() if value != others[name]]


def _wrong(text: str) -> SpecError:
    return SpecError(text, kind=ErrorKind.BAD_PARAMETER)


@dataclass(frozen=True)
class Statement:
    """What a finished partition holds; written last, so that it proves that the rest is there."""

    rows: int
    keys: str
    """`keys_digest` of the rows."""
    chunks: int
    files: Mapping[str, tuple[int, str]]
    """Name within the group -> bytes and xxh3-128 of each file."""

    @property
    def digest(self) -> str:
        """``"sha256:…"``: equal if and only if the partition holds the same bytes."""
        return sha256_bytes(canonical_json(asdict(self)))

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(size for size, _ in self.files.values())

    def to_json(self) -> bytes:
        """Return the metadata of the partition's group."""
        return group_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Self:
        """Read what `to_json` wrote; `DataError` if it is something else."""
        said = attributes(data, where=where)
        try:
            files = {name: (int(size), str(digest)) for name, (size, digest) in said["files"].items()}
            return cls(int(said["rows"]), str(said["keys"]), int(said["chunks"]), files)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"{where} does not state what its partition holds ({error}); remove the group and make it again"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, file=where) from error


def group_json(said: Mapping[str, Any]) -> bytes:
    """Return the metadata of a Zarr group with our attributes."""
    return json.dumps(
        {"zarr_format": 3, "node_type": "group", "attributes": {"skyloom": said} if said else {}}, indent=1
    ).encode()


def attributes(data: bytes, *, where: str) -> dict[str, Any]:
    """Return our attributes of a Zarr group.

    Raises
    ------
    DataError
        If the bytes are no metadata of a group, or the group is not one of ours.
    """
    try:
        said = json.loads(data)["attributes"]["skyloom"]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{where} is no group of a tensor store ({type(error).__name__}: {error}); was it made by skyloom?"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=where) from error
    if not isinstance(said, dict):
        msg = f"{where}: its attribute 'skyloom' is no object; restore the file"
        raise DataError(msg, kind=ErrorKind.BAD_FILE, file=where)
    return said
