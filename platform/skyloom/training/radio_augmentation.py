"""Turn radio images at random while a network learns: the sky has no up.

Both networks are trained on images turned by any angle and mirrored at random, as the published
ones were turned. Quarter turns and mirrors teach the equivariant network nothing, for it cannot
see them; the angles in between do. Every epoch sees each image once, in a new orientation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from skyloom.errors import ErrorKind, SpecError

__all__ = ["turn_at_random", "turned"]


def turned(images: Tensor, angle_rad: Tensor, mirror: Tensor) -> Tensor:
    """Return images mirrored left to right where told, then turned about their centre.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, H)
    angle_rad : Tensor, shape (B,)
        Counter-clockwise as the image is shown, the first row on top.
    mirror : Tensor of bool, shape (B,)

    Returns
    -------
    Tensor, shape (B, C, H, H)
        Between pixels by bilinear interpolation; zero where the image does not reach.

    Raises
    ------
    SpecError
        If the images are not square.
    """
    if images.shape[-1] != images.shape[-2]:
        msg = f"turning needs square images, got {tuple(images.shape[-2:])}; cut them square"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    side = torch.where(mirror, -1.0, 1.0).to(images.dtype)
    cos, sin = torch.cos(angle_rad).to(images.dtype), torch.sin(angle_rad).to(images.dtype)
    zero = torch.zeros_like(cos)
    # Where each new pixel comes from, so the turn runs backwards; rows count downwards.
    rows = (torch.stack([side * cos, -side * sin, zero], dim=1), torch.stack([sin, cos, zero], dim=1))
    grid = affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def turn_at_random(arrays: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return a batch with each ``image`` mirrored every other time and turned by an angle of its own.

    Parameters
    ----------
    arrays : mapping
        ``image``, shape (B, C, H, H), and others, which stay.
    rng : Generator
        Gives the orientations; advances, so that the next epoch shows others.
    """
    images = torch.from_numpy(np.require(arrays["image"], requirements=["C", "W"]))
    angle = torch.from_numpy(2.0 * np.pi * rng.random(len(images)))
    mirror = torch.from_numpy(rng.random(len(images)) < 0.5)
    return {**arrays, "image": turned(images, angle, mirror).numpy()}
