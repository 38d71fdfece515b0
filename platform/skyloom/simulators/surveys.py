"""What a simulated survey is: pixels, passband, PSF, noise, and the galaxies it is drawn with.

The numbers are round ones near those of SDSS g and of HST WFC3 F160W; they are settings of a
simulation, not measurements of these instruments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skyloom.errors import ErrorKind, SpecError, close_matches

__all__ = ["SURVEYS", "Survey", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """One kind of simulated image."""

    name: str
    band: str
    size: int
    """Side of the cutout in px."""
    pixel_arcsec: float
    fwhm_arcsec: float
    """Of the PSF's core (double Gaussian), or of the charge diffusion (telescope)."""
    aperture_m: float
    """Diameter of a telescope in space, whose PSF is an Airy pattern; 0 for a double Gaussian."""
    wavelength_nm: float
    electrons_per_njy: float
    sky_electrons: float
    """Per px."""
    read_electrons: float
    """1-sigma, per px."""
    magnitude: tuple[float, float]
    """AB, drawn uniformly."""
    bulge_arcsec: tuple[float, float]
    """Half-light radius of the bulge, drawn uniformly in its logarithm."""
    disk_to_bulge: tuple[float, float]
    """Half-light radius of the disk over the bulge's, likewise."""


SURVEYS: Mapping[str, Survey] = {
    each.name: each
    for each in (
        Survey("sdss", "g", 167, 0.396, 1.3, 0.0, 477.0, 0.26, 240.0, 5.0, (14, 18), (0.3, 5.0), (0.7, 5.0)),
        # Crops of 25 arcsec: galaxies that fit in them.
        Survey("sdss-small", "g", 64, 0.396, 1.3, 0.0, 477.0, 0.26, 240.0, 5.0, (14, 18), (0.5, 2.5), (0.7, 3.0)),
        Survey("hst", "f160w", 83, 0.06, 0.08, 2.4, 1540.0, 21.0, 700.0, 15.0, (18, 24), (0.06, 0.6), (0.7, 3.0)),
    )
}
"""The surveys there are, by name."""


def survey(name: str) -> Survey:
    """Return the survey called `name`.

    Raises
    ------
    SpecError
        If there is none; the message offers the close names.
    """
    if name not in SURVEYS:
        msg = f"there is no simulated survey {name!r}; {close_matches(name, SURVEYS)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, survey=name)
    return SURVEYS[name]
