"""The symmetries of the square: what turns and mirrors an image without touching a pixel's value.

An element is ``rot90 ** r`` after ``mirror ** m``, numbered ``4 * m + r``. The first four are
the group p4 (turns alone), all eight are p4m (with mirror images).
"""

from __future__ import annotations

import torch
from torch import Tensor

from skyloom.errors import ErrorKind, SpecError

__all__ = ["ORDERS", "inverse", "product", "transform"]

ORDERS = (4, 8)
"""Number of elements of p4 and of p4m."""


def product(a: int, b: int) -> int:
    """Return the number of the element that does `b`, then `a`."""
    (ma, ra), (mb, rb) = divmod(a, 4), divmod(b, 4)
    turn = ra - rb if ma else ra + rb
    return 4 * (ma ^ mb) + turn % 4


def inverse(a: int) -> int:
    """Return the number of the element that undoes `a`; a mirror undoes itself."""
    return a if a >= 4 else -a % 4


def transform(images: Tensor, element: int) -> Tensor:
    """Return images (..., H, W), turned and mirrored; no value changes.

    Parameters
    ----------
    images : Tensor, shape (..., H, W)
    element : int
        0 to 7; 0 changes nothing.

    Raises
    ------
    SpecError
        If there is no such element.

    Examples
    --------
    >>> transform(torch.tensor([[1, 2], [3, 4]]), 1).tolist()
    [[2, 4], [1, 3]]
    """
    if not 0 <= element < 8:
        msg = f"the square has symmetries 0 to 7, got {element}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, element=element)
    mirror, turns = divmod(element, 4)
    return torch.rot90(images.flip(-1) if mirror else images, turns, (-2, -1))
