"""Which sources of MiraBest and FR-DEEP are the same ones: none may train a network that it tests.

FR-DEEP numbers its sources within the lists that they come from (FRICAT, CoNFIG), FIRST and NVSS
under different file names; MiraBest names positions, which FR-DEEP does not give. MiraBest and
FR-DEEP's FIRST are cut from the same maps, pixel by pixel, so shared sources show in the images.
Where in doubt, two rows are taken for one source.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.radio import RadioSet, radio_parts
from skyloom.evaluation.split import Parts

__all__ = ["same_images", "sky_names", "survey_parts"]

_SAME = 0.999
"""Correlation from which images are one: 56 of FR-DEEP's 600 lie above, all with MiraBest's label;
below are look-alikes of any label."""
_HALF_PX = 30


def sky_names(objects: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return names under which one source has one name in FIRST and in NVSS.

    FIRST's ``37`` is NVSS's ``37a`` (FR II) or ``37_CoNFIG_FR1`` (FR I); which one cannot be told
    from the name, so all three are taken for one. ``42_FRICAT_FR1`` is called so in both.

    Examples
    --------
    >>> sky_names(np.array(["37", "37a", "37_CoNFIG_FR1", "42_FRICAT_FR1"])).tolist()
    ['37', '37', '37', '42_FRICAT_FR1']
    """
    return np.array(
        [name if "FRICAT" in name else re.sub(r"(a|_CoNFIG_FR1)$", "", name) for name in objects.tolist()]
    )


def survey_parts(first: RadioSet, nvss: RadioSet) -> tuple[Parts, Parts]:
    """Split two surveys alike: a source that trains in one is not held out in the other.

    Returns
    -------
    tuple of Parts
        Of `first` and of `nvss`.
    """
    whole = RadioSet(
        np.concatenate([first.images, nvss.images]),
        np.concatenate([first.target, nvss.target]),
        sky_names(np.concatenate([first.objects, nvss.objects])),
        np.concatenate([first.batch, nvss.batch]),
    )
    parts, n = radio_parts(whole), len(first.target)
    one, other = (
        Parts(*(getattr(parts, field.name)[rows] for field in dataclasses.fields(Parts)))
        for rows in (slice(None, n), slice(n, None))
    )
    return one, other


def same_images(images: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which images show the same pixels as one of the others, wherever they are centred.

    Parameters
    ----------
    images : ndarray, shape (N, 1, H, H)
    others : ndarray, shape (K, 1, H, H)
        Of the same pixel scale; brightness may be scaled.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    if not len(others):
        return np.zeros(len(images), dtype=bool)
    return np.asarray((_about_their_peaks(images) @ _about_their_peaks(others).T).max(axis=1) > _SAME)


def _about_their_peaks(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pixels about each image's brightest one, as vectors of length 1; 0 where it is empty."""
    around = np.zeros((len(images), (2 * _HALF_PX + 1) ** 2), dtype=np.float32)
    for k, image in enumerate(images[:, 0]):
        y, x = np.unravel_index(int(image.argmax()), image.shape)
        part = np.pad(image, _HALF_PX)[y : y + 2 * _HALF_PX + 1, x : x + 2 * _HALF_PX + 1].ravel()
        around[k] = part / max(float(np.linalg.norm(part)), 1e-12)
    return around
