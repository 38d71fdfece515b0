"""Convolutions that are equivariant to quarter turns and mirror images (p4 and p4m), by hand.

A feature field has one map per element of the group, next to each other in the channel axis
(channel ``field * order + element``). Turning the image turns every map and permutes the maps
of a field; pooling over a field gives a map that only turns. Source: Cohen & Welling 2016,
PMLR 48, 2990 (arXiv:1602.07576). Filters are transformed once and the layer is then one plain
convolution: while gradients are off, the transformed filters are kept.

Exact wherever the grid that is left after a layer is symmetric about the image's centre:
convolutions with stride 1 always, pooling where the size divides evenly. Other sizes are refused.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from skyloom.errors import ErrorKind, SpecError
from skyloom.nn.dihedral import ORDERS, inverse, product, transform

__all__ = ["BlurPool", "GroupConv", "GroupPool", "LiftingConv"]


class _Symmetric(nn.Module):
    """A convolution whose filter bank is made of one small set of weights."""

    def __init__(self, shape: tuple[int, ...], order: int, padding: int) -> None:
        super().__init__()
        if order not in ORDERS or min(shape) < 1 or padding < 0:
            msg = (
                f"a group convolution has 4 (p4) or 8 (p4m) elements, positive sizes and a padding of 0 or more; "
                f"got {order} elements, weights of shape {shape}, padding {padding}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        self.order = order
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        # He et al. 2015: keeps the variance through a ReLU, whatever the number of inputs.
        nn.init.normal_(self.weight, std=math.sqrt(2.0 / math.prod(shape[1:])))
        self._kept: tuple[tuple[object, ...], Tensor, Tensor] | None = None

    def bank(self) -> Tensor:
        """Return the filters of the plain convolution that this layer is, shape (K_out, K_in, k, k)."""
        raise NotImplementedError

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve maps (B, K_in, H, W) with every filter in every orientation."""
        if maps.shape[-1] != maps.shape[-2]:
            msg = f"turning needs square maps, got {tuple(maps.shape[-2:])}; cut the images square"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        filters, bias = self._filters()
        return conv2d(maps, filters, bias, padding=self.padding)

    def train(self, mode: bool = True) -> _Symmetric:
        """Set the mode, as `torch.nn.Module.train`, and forget the transformed filters."""
        self._kept = None
        super().train(mode)
        return self

    def _filters(self) -> tuple[Tensor, Tensor]:
        # Weights made in inference mode count no versions: a change in place would go unseen.
        if self.training or torch.is_grad_enabled() or self.weight.is_inference() or self.bias.is_inference():
            return self.bank(), self.bias.repeat_interleave(self.order)
        # Weights changed in place, moved or cast have another version, place or type.
        of = tuple((p.data_ptr(), p._version, p.dtype, p.device) for p in (self.weight, self.bias))
        if self._kept is None or self._kept[0] != of:
            self._kept = (of, self.bank(), self.bias.repeat_interleave(self.order))
        return self._kept[1], self._kept[2]


class LiftingConv(_Symmetric):
    """From plain channels (B, C, H, W) to feature fields (B, fields * order, H', W').

    Parameters
    ----------
    channels, fields : int
        Plain channels in, fields out.
    size : int
        Side of the filters, px.
    order : int
        8 for p4m, 4 for p4.
    padding : int
        Zeros around the maps, px.

    Raises
    ------
    SpecError
        If a parameter is out of range or the maps are not square.
    """

    def __init__(self, channels: int, fields: int, size: int, *, order: int = 8, padding: int = 0) -> None:
        super().__init__((fields, channels, size, size), order, padding)

    def bank(self) -> Tensor:
        """Return the filters in every orientation, shape (fields * order, channels, k, k)."""
        turned = torch.stack([transform(self.weight, g) for g in range(self.order)], dim=1)
        return turned.flatten(0, 1)


class GroupConv(_Symmetric):
    """From feature fields (B, fields_in * order, H, W) to (B, fields_out * order, H', W').

    Parameters
    ----------
    fields_in, fields_out : int
    size : int
        Side of the filters, px.
    order : int
        8 for p4m, 4 for p4.
    padding : int
        Zeros around the maps, px.

    Raises
    ------
    SpecError
        If a parameter is out of range or the maps are not square.
    """

    def __init__(self, fields_in: int, fields_out: int, size: int, *, order: int = 8, padding: int = 0) -> None:
        super().__init__((fields_out, fields_in, order, size, size), order, padding)

    def bank(self) -> Tensor:
        """Return the filters turned and permuted, shape (fields_out * order, fields_in * order, k, k)."""
        whole = range(self.order)
        turned = [transform(self.weight[:, :, [product(inverse(g), h) for h in whole]], g) for g in whole]
        return torch.stack(turned, dim=1).flatten(0, 1).flatten(1, 2)


class GroupPool(nn.Module):
    """Largest value over the orientations: (B, fields * order, H, W) to (B, fields, H, W).

    Raises
    ------
    SpecError
        If the channels are no whole number of fields.
    """

    def __init__(self, *, order: int = 8) -> None:
        super().__init__()
        self.order = order

    def forward(self, maps: Tensor) -> Tensor:
        """Pool maps (B, fields * order, H, W)."""
        if maps.shape[1] % self.order:
            msg = f"{maps.shape[1]} channels are no whole number of fields of {self.order} maps"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        return maps.reshape(len(maps), maps.shape[1] // self.order, self.order, *maps.shape[2:]).amax(dim=2)


class BlurPool(nn.Module):
    """Halve maps after smoothing them with the binomial filter (1, 3, 3, 1) / 8 along each axis.

    The filter is even, so that the smaller grid keeps the centre of the larger one, and all
    symmetries with it. Source: Zhang 2019, PMLR 97, 7324 (arXiv:1904.11486).

    Raises
    ------
    SpecError
        If the side of the maps is odd: the grid that is left would have another centre.
    """

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8.0
        self.register_buffer("taps", torch.outer(line, line)[None, None], persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Pool maps (B, K, H, W) to (B, K, H/2, W/2)."""
        if maps.shape[-1] % 2 or maps.shape[-2] % 2:
            msg = (
                f"maps of {tuple(maps.shape[-2:])} px do not divide evenly by 2: pooling them breaks the "
                "symmetry; take another image size"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        channels = maps.shape[1]
        taps = self.taps.to(maps.dtype).expand(channels, 1, 4, 4)
        return conv2d(maps, taps, stride=2, padding=1, groups=channels)
