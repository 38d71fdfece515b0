"""Width of the point-spread function, where the header of an image has it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from skyloom.errors import ErrorKind, SpecError

__all__ = ["PSF_KEYS", "PsfWidth", "psf_fwhm"]

PSF_KEYS = ("PSF_FWHM", "PSFFWHM", "FWHM", "SEEING", "L1FWHM", "IQFINAL", "IQ")
"""Keys that are looked for, in this order."""
FIXED_UNITS = {"PSF_FWHM": "arcsec"}
"""Units that a standard fixes, where the comment is silent: PSF_FWHM, by ESO's science data products [1]_."""
UNITS = ("arcsec", "pixel")

_PIXELS = re.compile(r"\b(pix|px|pixel)s?\b", re.IGNORECASE)
_ARCSEC = re.compile(r"\b(arcsec|arcsecs|arcsecond|arcseconds|asec)\b|[\[(\s]\"", re.IGNORECASE)


class PsfWidth(NamedTuple):
    """What a header says of the width of its point-spread function."""

    fwhm_arcsec: float
    """NaN where it says nothing that can be understood."""
    said_by: str
    """Key and unit, such as ``"FWHM (pixel)"``; empty where there is none."""


def psf_fwhm(headers: Sequence[Any], pixel_arcsec: float, *, key: str | None = None) -> PsfWidth:
    """Return the full width at half maximum that one of some headers states.

    The unit is what the card's comment says: seeing in pixels and in arcseconds are both common
    under the same keys. A width whose unit nothing says is not used. A radio image states its
    beam as BMAJ and BMIN in degrees [2]_; their geometric mean is taken.

    Parameters
    ----------
    headers : sequence of astropy.io.fits.Header
        Of the image, then of its file.
    pixel_arcsec : float
        Pixel scale of the image.
    key : str, optional
        The one key to look for, with the unit where comments are silent: ``"FWHM=pixel"``.

    Returns
    -------
    PsfWidth

    Raises
    ------
    SpecError
        If `key` gives another unit than arcsec or pixel, or the header's own comment contradicts it.

    References
    ----------
    .. [1] ESO Science Data Products Standard, keyword PSF_FWHM ("spatial resolution, arcsec").
    .. [2] AIPS Memo 117: BMAJ and BMIN in degrees.
    """
    keys, told = _asked(key)
    for header in headers:
        for name in keys:
            width = _number(header, name)
            if width is None:
                continue
            unit = _unit(header.comments[name])
            if told and unit and told != unit:
                msg = f"{name} is in {unit} by its header's comment, and {told} was said; leave the unit out"
                raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, key=name)
            unit = unit or told or FIXED_UNITS.get(name, "")
            if unit:
                return PsfWidth(width * (pixel_arcsec if unit == "pixel" else 1.0), f"{name} ({unit})")
    for header in () if key else headers:
        major, minor = _number(header, "BMAJ"), _number(header, "BMIN")
        if major is not None and minor is not None:
            return PsfWidth(math.sqrt(major * minor) * 3600.0, "BMAJ, BMIN (deg)")
    return PsfWidth(math.nan, "")


def _asked(key: str | None) -> tuple[tuple[str, ...], str]:
    if not key:
        return PSF_KEYS, ""
    name, _, unit = key.partition("=")
    if unit and unit not in UNITS:
        msg = f"the unit of a PSF width is {' or '.join(UNITS)}, got {unit!r}; write {name}=arcsec"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, key=key)
    return (name,), unit


def _unit(comment: str) -> str:
    """Return the unit that a comment states; empty where it states none, or both."""
    found = [unit for unit, pattern in (("pixel", _PIXELS), ("arcsec", _ARCSEC)) if pattern.search(comment)]
    return found[0] if len(found) == 1 else ""


def _number(header: Mapping[str, Any], key: str) -> float | None:
    """Return a positive, finite number, or None."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None
