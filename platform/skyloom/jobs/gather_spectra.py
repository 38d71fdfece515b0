"""Spectra of many files brought together: on one grid, each with the row of the catalog that it belongs to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.catalog import Catalog
from skyloom.errors import DataError, ErrorKind, SkyloomError, SpecError
from skyloom.jobs.matching import MatchIds, rows_by_id, rows_by_position
from skyloom.jobs.stores import Tensors
from skyloom.spectra import Grid, Reading, Resampler, Spectrum, in_medium, in_unit
from skyloom.storage.store import translated
from skyloom.tensors import Layout

__all__ = ["GatheredSpectra", "SpectraRequest", "UsableSpectra"]

EXAMPLES = 20
"""Spectra that are named where many are skipped or passed over."""


@dataclass(frozen=True)
class SpectraRequest:
    """What a store of spectra shall be.

    Raises
    ------
    SpecError
        If `on_bad` is none of its words.
    """

    grid: Grid | None = None
    """The model's own; that of the first spectrum unless told."""
    method: str = "conserve"
    """See `skyloom.spectra.Resampler`."""
    unit: str | None = None
    """Of the flux; that of the first spectrum unless told."""
    reading: Reading = field(default_factory=Reading)
    radius_arcsec: float = 1.0
    """Within which a spectrum belongs to the nearest row, where no id is told."""
    on_bad: str = "fail"
    """``"fail"`` at the first spectrum that cannot be used, or ``"skip"``: it is left out and named."""

    def __post_init__(self) -> None:
        if self.on_bad not in {"fail", "skip"}:
            msg = f"a bad spectrum makes the command fail, or is skipped; {self.on_bad!r} is neither"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


class UsableSpectra(Iterator[Spectrum]):
    """Spectra one after another; those that cannot be used are counted and named, or end it."""

    def __init__(self, found: Iterable[Spectrum | SkyloomError], request: SpectraRequest) -> None:
        self._found, self._request = iter(found), request
        self._ahead: list[Spectrum] = []
        self.skipped = 0
        self.why: list[str] = []

    def first(self) -> Spectrum | None:
        """Return the first of them, which stays the first; None if there is none."""
        self._ahead = [one for one in (next(self, None),) if one is not None]
        return self._ahead[0] if self._ahead else None

    def __next__(self) -> Spectrum:
        if self._ahead:
            return self._ahead.pop()
        for one in self._found:
            if isinstance(one, Spectrum):
                return one
            self.skip(one)
        raise StopIteration

    def skip(self, error: SkyloomError) -> None:
        """Leave one out, or raise what is wrong with it."""
        # A wrong request is wrong for all of them.
        if self._request.on_bad == "fail" or not isinstance(error, DataError):
            raise error
        self.skipped += 1
        if len(self.why) < EXAMPLES:
            self.why.append(error.message)

    def said(self) -> str:
        """Return why the first was skipped, as the end of a message."""
        return f"; {self.skipped} were skipped, the first because {self.why[0]}" if self.why else ""


class GatheredSpectra:
    """All spectra on a store's grid, in a file without a name, and the rows that they belong to.

    The rows of a partition are anywhere among the files, and a file is opened once. So all are
    read, in order, when the first row is asked for, and memory holds what is looked at.

    Parameters
    ----------
    catalog : Catalog
    layout : Layout
        Of the store.
    request : SpectraRequest
    spectra : UsableSpectra
    """

    def __init__(self, catalog: Catalog, layout: Layout, request: SpectraRequest, spectra: UsableSpectra) -> None:
        self._catalog, self._layout, self._request, self._source = catalog, layout, request, spectra
        self._by_id = request.reading.id_key is not None
        self._match: MatchIds | None = None
        self._best: NDArray[np.int64] = np.empty(0, np.int64)
        self._file: Any = None
        self.spectra = self.unmatched = self.several = 0
        self.passed_over: list[str] = []

    def tensors(self, rows: pa.Table, first: int) -> Tensors:
        """Return the spectra of M rows, the first of which has this number: (M, C, L), as `make_store` asks."""
        if self._match is None:
            self._match = self._gather()
        out = np.full((rows.num_rows, *self._layout.shape), np.nan, np.float32)
        out[:, 1:] = 0.0
        at = self._match(np.arange(first, first + rows.num_rows))
        for row in np.flatnonzero(at >= 0):
            self._file.seek(int(self._best[at[row]]) * self._layout.row_bytes)
            out[row] = np.frombuffer(self._file.read(self._layout.row_bytes), np.float32).reshape(out.shape[1:])
        return out, {}

    def _gather(self) -> MatchIds:
        grid = self._layout.grid
        assert grid is not None
        resampler = Resampler(grid, self._request.method)
        names, sky, quality, where = [], [], [], []
        with translated("the temporary directory"):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
            for spectrum in self._source:
                try:
                    if not self._by_id and np.isnan(spectrum.ra):
                        raise _no_place(spectrum)
                    fitting = in_medium(in_unit(spectrum, self._layout.unit), grid.medium)
                    tensor = _tensor(fitting.where, *resampler(fitting.wavelength, fitting.flux, fitting.ivar))
                except SkyloomError as error:
                    self._source.skip(error)
                    continue
                self._file.write(tensor.tobytes())
                names.append(spectrum.id)
                sky.append((spectrum.ra, spectrum.dec))
                quality.append(_signal_to_noise(tensor))
                where.append(spectrum.where)
        self.spectra = len(where)
        if self._by_id:
            rows = rows_by_id(self._catalog, names)
        else:
            ra, dec = np.array(sky, np.float64).reshape(-1, 2).T
            rows = rows_by_position(self._catalog, ra, dec, self._request.radius_arcsec)
        self._choose(rows, np.array(quality), where)
        return MatchIds(rows[self._best])

    def _choose(self, rows: NDArray[np.int64], quality: NDArray[np.float64], where: list[str]) -> None:
        """Take the best spectrum of each row, and count what is left."""
        order = np.lexsort((-quality, rows))  # stable: of equal ones the earlier in the files
        order = order[rows[order] >= 0]
        self.unmatched = len(rows) - len(order)
        repeats = rows[order][1:] == rows[order][:-1]
        self._best = order[np.concatenate([[True], ~repeats])] if len(order) else order
        self.several = len(np.unique(rows[order][1:][repeats]))
        pairs = zip(order[:-1][repeats], order[1:][repeats], strict=True)
        self.passed_over = [f"{where[one]} before {where[two]}" for one, two in pairs][:EXAMPLES]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _tensor(where: str, flux: NDArray[Any], ivar: NDArray[Any] | None) -> NDArray[np.float32]:
    """Return what is stored of a spectrum, (C, L), or say that its numbers do not go into float32."""
    given = np.stack([flux] if ivar is None else [flux, ivar])
    with np.errstate(over="ignore"):
        tensor = given.astype(np.float32)
    # A weight that becomes 0 would make a good pixel a bad one.
    lost = np.isinf(tensor).any(axis=0) | ((tensor[1:] == 0) & (given[1:] > 0)).any(axis=0)
    if lost.any():
        largest = ", ".join(f"{np.nanmax(np.abs(values)):g}" for values in given)
        msg = (
            f"{where}: {int(lost.sum())} of its pixels do not go into float32 (flux and inverse variance "
            f"are up to {largest}); ask for a --unit in which fluxes are nearer to 1"
        )
        raise DataError(msg, kind=ErrorKind.BAD_ROW, where=where)
    return tensor


def _signal_to_noise(tensor: NDArray[np.float32]) -> float:
    """Return the median over good pixels of the signal to noise; without errors, how many there are."""
    there = np.isfinite(tensor[0])
    if len(tensor) == 1:
        return float(there.sum())
    good = there & (tensor[1] > 0)
    return float(np.median(np.abs(tensor[0][good]) * np.sqrt(tensor[1][good]))) if good.any() else 0.0


def _no_place(spectrum: Spectrum) -> DataError:
    msg = (
        f"{spectrum.where} has no position and no id was asked for: name its header keys or columns with "
        "--position-keys, or match by --id-key"
    )
    return DataError(msg, kind=ErrorKind.BAD_POSITION, where=spectrum.where)
