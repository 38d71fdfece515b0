"""From a galaxy to an image: galsim renders, the sky adds its photons, the detector its noise."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, NotFoundError
from skyloom.simulators.galaxy_model import AB_ZERO_NJY, Galaxy
from skyloom.simulators.surveys import Survey

__all__ = ["components", "galsim", "observe", "render"]

_SCALE_RADIUS = 1.6783469900166605
"""Half-light radius of an exponential disk in units of its scale length."""
_MARGIN_PX = 16
_CORRELATION = np.array([[0.1, 0.3, 0.1], [0.3, 1.0, 0.3], [0.1, 0.3, 0.1]])
_MEAN_NEIGHBOURS = 0.7
_NEAREST = 0.3
"""Distance of the nearest possible neighbour, as a share of half the cutout's side."""


def galsim() -> ModuleType:
    """Import galsim.

    Raises
    ------
    NotFoundError
        If it is not installed; the message says how to get it.
    """
    try:
        import galsim as module
    except ImportError as error:
        msg = "galaxies are rendered by galsim, which is not installed: pip install 'skyloom[simulate]'"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, package="galsim") from error
    return module  # type: ignore[no-any-return]


@cache
def _accuracy() -> Any:
    # A tenth of a percent of the light, far below the noise, at half the cost of galsim's defaults.
    return galsim().GSParams(maximum_fft_size=16384, kvalue_accuracy=1e-4, maxk_threshold=3e-3)


def components(galaxy: Galaxy) -> tuple[Any, Any]:
    """Return bulge and disk as galsim profiles, centred, without PSF; their fluxes are nJy."""
    gs, accuracy = galsim(), _accuracy()
    bulge = {"half_light_radius": galaxy.bulge_arcsec, "flux": galaxy.bulge_njy, "gsparams": accuracy}
    round_bulge = (
        gs.DeVaucouleurs(**bulge) if galaxy.bulge_sersic == 4.0 else gs.Sersic(galaxy.bulge_sersic, **bulge)
    )
    round_disk = gs.Exponential(half_light_radius=galaxy.disk_arcsec, flux=galaxy.disk_njy, gsparams=accuracy)
    return (
        round_bulge.shear(q=galaxy.bulge_axis_ratio, beta=galaxy.bulge_angle_deg * gs.degrees),
        round_disk.shear(q=galaxy.disk_axis_ratio, beta=galaxy.disk_angle_deg * gs.degrees),
    )


def psf(survey: Survey, *, stretch: float = 1.0, shear: tuple[float, float] = (0.0, 0.0)) -> Any:
    """Return the PSF as a galsim profile of unit flux; `stretch` widens it, `shear` makes it elliptical."""
    gs, accuracy = galsim(), _accuracy()
    if survey.aperture_m > 0:
        airy = gs.Airy(
            lam=survey.wavelength_nm, diam=survey.aperture_m, obscuration=0.33, scale_unit=gs.arcsec,
            gsparams=accuracy,
        )  # fmt: skip
        kernel = gs.Convolve(airy, gs.Gaussian(fwhm=survey.fwhm_arcsec), gsparams=accuracy).dilate(stretch)
    else:
        core = gs.Gaussian(fwhm=stretch * survey.fwhm_arcsec, flux=0.9, gsparams=accuracy)
        kernel = core + gs.Gaussian(fwhm=2.0 * stretch * survey.fwhm_arcsec, flux=0.1, gsparams=accuracy)
    return kernel.shear(g1=shear[0], g2=shear[1]) if shear != (0.0, 0.0) else kernel


def structure(galaxy: Galaxy, survey: Survey) -> NDArray[np.float64]:
    """Return what arms, bar and dust move about in the disk: nJy per px, adding to zero.

    It is added to the smooth disk, so the disk keeps its light and the galaxy its class.
    """
    side = survey.size + 2 * _MARGIN_PX
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2.0) * survey.pixel_arcsec
    angle = np.deg2rad(galaxy.disk_angle_deg)
    root = np.sqrt(galaxy.disk_axis_ratio)  # galsim's shear keeps the area
    along = (x * np.cos(angle) + y * np.sin(angle)) * root
    across = (y * np.cos(angle) - x * np.sin(angle)) / root
    length = galaxy.disk_arcsec / _SCALE_RADIUS
    radius, theta = np.hypot(along, across) / length, np.arctan2(across, along)
    phase = np.deg2rad(galaxy.structure_angle_deg)
    wound = np.log(np.maximum(radius, 1e-3)) / np.tan(np.deg2rad(galaxy.pitch_deg))
    arms = galaxy.arms * radius**2 / (radius**2 + 1.0) * np.cos(galaxy.arm_count * (theta - wound) + phase)
    hole = radius**2 / (radius**2 + 0.1)
    bar = galaxy.bar * np.exp(-((radius / 1.5) ** 2)) * hole * np.cos(2.0 * theta - phase)
    lane = galaxy.dust * np.exp(-0.5 * ((across / length - 0.3) / 0.2) ** 2)
    smooth = np.exp(-radius)
    broken = smooth * np.maximum(1.0 + arms + bar, 0.0) * (1.0 - lane)
    return np.asarray(galaxy.disk_njy * (broken / broken.sum() - smooth / smooth.sum()))


def render(galaxy: Galaxy, survey: Survey, kernel: Any) -> NDArray[np.float64]:
    """Return the galaxy seen through the PSF `kernel`, without noise: (size, size), nJy per px."""
    gs, accuracy = galsim(), _accuracy()
    bulge, disk = components(galaxy)
    light = bulge + disk
    if galaxy.arms or galaxy.bar or galaxy.dust:
        moved = gs.Image(structure(galaxy, survey), scale=survey.pixel_arcsec)
        light += gs.InterpolatedImage(
            moved, x_interpolant="linear", calculate_stepk=False, calculate_maxk=False, gsparams=accuracy
        )
    shift = np.multiply(galaxy.shift_px, survey.pixel_arcsec)
    return _drawn(gs.Convolve(light, kernel, gsparams=accuracy).shift(*shift), survey)


def observe(
    galaxy: Galaxy, survey: Survey, rng: np.random.Generator, *, real: bool
) -> tuple[NDArray[np.float32], int]:
    """Return an exposure of a galaxy, its sky subtracted, and how many neighbours are in it.

    Parameters
    ----------
    galaxy : Galaxy
    survey : Survey
    rng : numpy Generator
        Of this galaxy alone.
    real : bool
        A PSF that varies, is wider and not round, and noise that is correlated between px.

    Returns
    -------
    image : ndarray of float32, shape (size, size)
        nJy per px.
    neighbours : int
    """
    kernel = psf(survey)
    if real:
        g1, g2 = np.clip(rng.normal(0.0, 0.03, 2), -0.2, 0.2)
        kernel = psf(survey, stretch=float(rng.uniform(0.95, 1.3)), shear=(float(g1), float(g2)))
    clean = render(galaxy, survey, kernel)
    neighbours = int(rng.poisson(_MEAN_NEIGHBOURS))
    for _ in range(neighbours):
        clean += _neighbour(galaxy, survey, kernel, rng)
    expected = np.maximum(clean, 0.0) * survey.electrons_per_njy + survey.sky_electrons
    counted = rng.poisson(expected) + rng.normal(0.0, survey.read_electrons, clean.shape)
    noise = counted - expected
    if real:
        from scipy.ndimage import convolve

        # Of unit power: neighbouring px share their noise, its variance stays.
        noise = convolve(noise, _CORRELATION / np.sqrt((_CORRELATION**2).sum()), mode="wrap")
    image = (expected - survey.sky_electrons + noise) / survey.electrons_per_njy
    return image.astype(np.float32), neighbours


def _neighbour(galaxy: Galaxy, survey: Survey, kernel: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a star or a small galaxy, one to five magnitudes fainter, away from the middle."""
    gs = galsim()
    flux = AB_ZERO_NJY * 10.0 ** (-0.4 * (galaxy.magnitude + rng.uniform(1.0, 5.0)))
    half = survey.size * survey.pixel_arcsec / 2.0
    angle, distance = rng.uniform(0.0, 2.0 * np.pi), half * np.sqrt(rng.uniform(_NEAREST**2, 2.0))
    radius, axis_ratio, turn = (
        rng.uniform(0.5, 2.0) * survey.bulge_arcsec[0],
        rng.uniform(0.3, 1.0),
        rng.uniform(0.0, 180.0),
    )
    source = kernel * flux
    if rng.random() < 0.5:
        disk = gs.Exponential(half_light_radius=radius, flux=flux, gsparams=_accuracy())
        source = gs.Convolve(disk.shear(q=axis_ratio, beta=turn * gs.degrees), kernel, gsparams=_accuracy())
    return _drawn(source.shift(distance * np.cos(angle), distance * np.sin(angle)), survey)


def _drawn(profile: Any, survey: Survey) -> NDArray[np.float64]:
    image = profile.drawImage(nx=survey.size, ny=survey.size, scale=survey.pixel_arcsec, dtype=np.float64)
    return np.array(image.array)
