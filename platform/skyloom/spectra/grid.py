"""The grid of wavelengths that all spectra of a store, or all inputs of a model, lie on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["ALIGNED", "LENGTHS", "MEDIA", "Grid", "bin_edges"]

MEDIA = ("vacuum", "air")
"""What wavelengths were measured in."""
LENGTHS: Mapping[str, float] = {"Angstrom": 1.0, "nm": 10.0, "um": 1e4, "micron": 1e4, "m": 1e10}
"""Units of a grid, in Angstrom."""
ALIGNED = 0.01
"""Fraction of a pixel that two grids may differ by and still be the same: in float32, the logarithms that
surveys write are off by 0.002 of one."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Wavelengths of the centres of pixels, observed frame.

    Raises
    ------
    SpecError
        If the wavelengths do not increase, are not positive, or unit or medium are unknown.

    Examples
    --------
    >>> Grid(3, start=3.5, step=0.1, log10=True).wavelengths().round(1)
    array([3162.3, 3981.1, 5011.9])
    >>> Grid(2, values=(500.0, 510.0), unit="nm").wavelengths()
    array([5000., 5100.])
    """

    pixels: int
    start: float = 0.0
    """First wavelength in `unit`, or its decimal logarithm."""
    step: float = 1.0
    log10: bool = False
    """Whether `start` and `step` are decimal logarithms of the wavelength in `unit`."""
    unit: str = "Angstrom"
    medium: str = "vacuum"
    values: tuple[float, ...] = ()
    """All wavelengths in `unit`, where no rule gives them; then `start` and `step` mean nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        if self.unit not in LENGTHS:
            raise _wrong(f"there is no unit {self.unit!r} of wavelengths: {close_matches(self.unit, LENGTHS)}")
        if self.medium not in MEDIA:
            raise _wrong(f"wavelengths are in vacuum or in air, not in {self.medium!r}")
        if self.pixels < 2 or self.pixels > 1 << 24:
            raise _wrong(f"a grid has from 2 to {1 << 24} pixels, not {self.pixels}")
        if self.values and len(self.values) != self.pixels:
            raise _wrong(f"a grid of {self.pixels} pixels has {len(self.values)} wavelengths")
        with np.errstate(over="ignore"):
            along = self.wavelengths()
        if not (np.isfinite(along).all() and along[0] > 0 and (np.diff(along) > 0).all()):
            raise _wrong(
                f"wavelengths must be positive and increase; these go from {along[0]:g} to {along[-1]:g} Angstrom"
            )

    def wavelengths(self) -> NDArray[np.float64]:
        """Return the centres of the pixels in Angstrom, shape (L,)."""
        along = np.asarray(self.values) if self.values else self.start + self.step * np.arange(self.pixels)
        return np.asarray((10.0**along if self.log10 else along) * LENGTHS[self.unit], np.float64)

    def said(self) -> dict[str, Any]:
        """Return the grid as a store states it; its number of pixels is the store's."""
        rule = {"values": list(self.values)} if self.values else {"start": self.start, "step": self.step}
        return {**rule, "log10": self.log10, "unit": self.unit, "medium": self.medium}

    @classmethod
    def of(cls, said: Mapping[str, Any], pixels: int) -> Self:
        """Read what `said` gave.

        Raises
        ------
        SpecError
            If it is no grid.
        """
        try:
            return cls(pixels, **said)
        except TypeError as error:
            raise _wrong(f"{dict(said)} is no grid of wavelengths: {error}") from error

    @classmethod
    def through(cls, wavelengths: NDArray[np.float64], medium: str) -> Self:
        """Return the grid of some wavelengths in Angstrom: by a rule if one fits, else one by one."""
        n = len(wavelengths)
        for log10 in (True, False):
            along = np.log10(wavelengths) if log10 else wavelengths
            first, mean = float(along[0]), float(along[-1] - along[0]) / (n - 1)
            # The roundest numbers that agree were meant: in single precision 3.58 becomes 3.5799999.
            for digits in range(1, 13):
                start, step = float(f"{first:.{digits + 3}g}"), float(f"{mean:.{digits}g}")
                found = cls(n, start=start, step=step, log10=log10, medium=medium)
                if offset_of(wavelengths, found.wavelengths()) == 0:
                    return found
        return cls(n, values=tuple(wavelengths.tolist()), medium=medium)

    def agrees(self, other: Grid) -> bool:
        """Return whether two grids have the same pixels, to `ALIGNED` of one, in the same medium."""
        return (
            self.medium == other.medium
            and self.pixels == other.pixels
            and offset_of(self.wavelengths(), other.wavelengths()) == 0
        )

    def __str__(self) -> str:
        along = self.wavelengths() / LENGTHS[self.unit]
        rule = "listed" if self.values else f"{'log10 ' if self.log10 else ''}step {self.step:g}"
        return f"{self.pixels} pixels from {along[0]:.7g} to {along[-1]:.7g} {self.unit} ({rule}, {self.medium})"


def bin_edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of pixels, (L + 1,): halfway between centres, as specutils has them."""
    middle = (centres[1:] + centres[:-1]) / 2.0
    return np.concatenate([[2.0 * centres[0] - middle[0]], middle, [2.0 * centres[-1] - middle[-1]]])


def offset_of(source: NDArray[np.float64], target: NDArray[np.float64]) -> int | None:
    """Return where on a target grid the first pixel of a source lies, if all pixels coincide.

    Parameters
    ----------
    source, target : ndarray, shapes (L,), (M,)
        Increasing.

    Returns
    -------
    int or None
        `k` with ``source[i] == target[i + k]`` to within `ALIGNED` of a pixel wherever both
        exist; negative where the source begins before the target. None if there is no such `k`.
    """
    if target[0] >= source[0]:
        k = -int(np.argmin(np.abs(source - target[0])))
    else:
        k = int(np.argmin(np.abs(target - source[0])))
    first, last = max(0, k), min(len(target), k + len(source))
    if last <= first:
        return None
    width = np.diff(bin_edges(target))[first:last]
    off = np.abs(source[first - k : last - k] - target[first:last])
    # Where few pixels overlap their centres may coincide by chance; a tenth is more than the ends are off.
    wider = np.abs(np.diff(bin_edges(source))[first - k : last - k] - width)
    return k if bool((off <= ALIGNED * width).all() and (wider <= 0.1 * width).all()) else None


def _wrong(text: str) -> SpecError:
    return SpecError(text, kind=ErrorKind.BAD_PARAMETER)
