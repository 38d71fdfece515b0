"""Files of spectra, made as surveys write them."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS

START, STEP, PIXELS = 3.58, 1e-4, 120
SDSS_UNIT = "1e-17 erg / (Angstrom s cm2)"


def sample(seed: int, pixels: int = PIXELS) -> tuple[np.ndarray, np.ndarray]:
    """Flux and inverse variance in single precision."""
    rng = np.random.default_rng(seed)
    return rng.normal(20, 3, pixels).astype(np.float32), rng.uniform(0.5, 2, pixels).astype(np.float32)


def wavelengths(pixels: int = PIXELS) -> np.ndarray:
    """Of `sample`, in Angstrom, in vacuum."""
    return 10 ** (START + STEP * np.arange(pixels))


def sdss(path: Path, seed: int, *, ra=150.0, dec=2.0, name="1237650795683184714", masked=(), **header) -> Path:
    """A spec-lite file of SDSS: COADD in HDU 1, SPECOBJ in HDU 2; RA and DEC are the telescope's."""
    flux, ivar = sample(seed)
    mask = np.zeros(PIXELS, np.int32)
    mask[list(masked)] = 1 << 16
    first = fits.PrimaryHDU()
    said = {"TELESCOP": "SDSS 2.5-M", "VERS2D": "v5_7_0", "FIBERID": 168, "RA": 149.0, "DEC": 1.0, "VACUUM": True}
    first.header.update({**said, "PLUG_RA": ra, "PLUG_DEC": dec, **header})
    columns = [
        fits.Column("flux", "E", array=flux),
        fits.Column("loglam", "E", array=START + STEP * np.arange(PIXELS)),
        fits.Column("ivar", "E", array=ivar),
        fits.Column("and_mask", "J", array=mask),
    ]
    about = [fits.Column("BESTOBJID", "22A", array=[name]), fits.Column("Z", "E", array=[0.067])]
    tables = [fits.BinTableHDU.from_columns(columns), fits.BinTableHDU.from_columns(about)]
    fits.HDUList([first, *tables]).writeto(path)
    return path


def wcs1d(path: Path, seed: int, *, axis="AWAV", **header) -> Path:
    """An image of one dimension with a WCS, as specutils writes it."""
    from specutils import Spectrum

    flux, ivar = sample(seed)
    wcs = WCS(naxis=1)
    wcs.wcs.ctype, wcs.wcs.cunit = [axis], ["Angstrom"]
    wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = [4000.0], [2.0], [1]
    made = Spectrum(
        flux=flux * u.mJy, wcs=wcs, uncertainty=StdDevUncertainty(ivar**-0.5), mask=np.arange(PIXELS) == 7
    )
    made.write(path, format="wcs1d-fits")
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(header)
    return path


def tabular(path: Path, seed: int, *, names=("wavelength", "flux", "uncertainty"), **header) -> Path:
    """A table with units, as specutils writes it."""
    flux, ivar = sample(seed)
    columns = [
        fits.Column(names[0], "D", unit="nm", array=wavelengths() / 10),
        fits.Column(names[1], "E", unit="mJy", array=flux),
        fits.Column(names[2], "D", unit="mJy", array=ivar.astype(np.float64) ** -0.5),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    first = fits.PrimaryHDU()
    first.header.update(header)
    fits.HDUList([first, table]).writeto(path)
    return path


def lamost(path: Path, seed: int, **header) -> Path:
    """An image with a row for flux, inverse variance, wavelength and each mask, as LAMOST first published them."""
    flux, ivar = sample(seed)
    masks = np.zeros((2, PIXELS), np.float32)
    masks[0, 9] = 4
    image = fits.PrimaryHDU(np.stack([flux, ivar, wavelengths().astype(np.float32), *masks]))
    said = {"TELESCOP": "LAMOST", "VACUUM": True, "RA": 99.3, "DEC": 27.2, "COEFF0": START, "COEFF1": STEP}
    image.header.update({**said, **header})
    image.writeto(path)
    return path


def vectors(path: Path, seeds: list[int], **header) -> Path:
    """A table with a spectrum in each row, as LAMOST writes one and stacks of spectra many."""
    flux, ivar = (np.stack(values) for values in zip(*map(sample, seeds), strict=True))
    columns = [
        fits.Column("FLUX", f"{PIXELS}E", array=flux),
        fits.Column("IVAR", f"{PIXELS}E", array=ivar),
        fits.Column("WAVELENGTH", f"{PIXELS}E", array=np.tile(wavelengths(), (len(seeds), 1))),
        fits.Column("ANDMASK", f"{PIXELS}J", array=np.zeros((len(seeds), PIXELS), np.int32)),
        fits.Column("OBSID", "K", array=np.array(seeds)),
    ]
    first = fits.PrimaryHDU()
    first.header.update(header)
    fits.HDUList([first, fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return path
