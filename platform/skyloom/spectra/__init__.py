"""Spectra: read from files, and put onto one grid of wavelengths with their inverse variance."""

from skyloom.spectra.arrays import array_spectra, read_grid
from skyloom.spectra.files import find_spectra, read_spectra
from skyloom.spectra.grid import MEDIA, Grid
from skyloom.spectra.reading import Reading
from skyloom.spectra.resample import METHODS, Resampler
from skyloom.spectra.spectrum import Spectrum, in_medium, in_unit, make_spectrum

__all__ = [
    "MEDIA",
    "METHODS",
    "Grid",
    "Reading",
    "Resampler",
    "Spectrum",
    "array_spectra",
    "find_spectra",
    "in_medium",
    "in_unit",
    "make_spectrum",
    "read_grid",
    "read_spectra",
]
