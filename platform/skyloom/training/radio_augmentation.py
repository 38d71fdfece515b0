"""Turn radio images at random while a network learns: the sky has no up.

Both networks are trained on images turned by any angle and mirrored at random, as the published
ones were turned. Quarter turns and mirrors teach the equivariant network nothing, for it cannot
see them; the angles in between do. Every epoch sees each image once, in a new orientation.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from skyloom.errors import ErrorKind, SpecError

__all__ = ["turned", "turned_batches"]


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


def turned_batches(
    images: Tensor, target: Tensor, *, batch_rows: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch in random order and orientation: images (B, C, H, H) and targets (B,).

    Parameters
    ----------
    images : Tensor, shape (N, C, H, H)
    target : Tensor, shape (N,)
    batch_rows : int
        Rows of a batch; the last one may have fewer.
    generator : torch.Generator
        Gives order and orientations; advances, so that the next epoch is another one.

    Raises
    ------
    SpecError
        If `batch_rows` is not positive or there are not as many targets as images.
    """
    if batch_rows < 1 or len(images) != len(target):
        msg = f"needs a positive batch_rows and a target per image, got {batch_rows}, {len(images)}, {len(target)}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    for rows in torch.split(torch.randperm(len(images), generator=generator), batch_rows):
        angle = 2.0 * torch.pi * torch.rand(len(rows), generator=generator)
        mirror = torch.rand(len(rows), generator=generator) < 0.5
        yield turned(images[rows], angle, mirror), target[rows]
