"""The network: LeNet with p4m convolutions, and the plain LeNet beside it.

Source: Scaife & Porter 2021 (ads:2021MNRAS.503.2369S): two convolutions of 5 px with padding 1 and
6 and 16 fields, each followed by pooling by 2, then dense layers of 120, 84 and 2, dropout 0.5
before the last. Departures, in both networks unless said:

* The image is cut to its central `cut_px`, masked by a circle and averaged over `bin_px` squares
  before the first convolution: a seventh of the work at 132 px and 2.
* Equivariant: their dense layers read the maps pixel by pixel after pooling over orientations, and
  a turned image gives other numbers. Here the first dense layer's weights are held against the
  maps in all 8 orientations and the largest answer is taken, so that the output is invariant.
  It has the same number of weights.
* Equivariant: groups are p4m (8 elements) by hand, where theirs were D_N of steerable filters;
  pooling is a binomial blur that keeps the centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from skyloom.errors import ErrorKind, SpecError
from skyloom.nn.group_convolution import BlurPool, GroupConv, GroupPool, LiftingConv

__all__ = ["FEATURES", "LeNetConfig", "RadioLeNet", "circular_mask", "make_lenet"]

FEATURES = 84
"""Length of the penultimate layer."""

_SIZE = 5
_PADDING = 1
_HIDDEN = 120


@dataclass(frozen=True, slots=True)
class LeNetConfig:
    """Shape of the network."""

    architecture: Literal["equivariant", "plain"] = "equivariant"
    image_px: int = 150
    """Side of the images given."""
    cut_px: int = 132
    """Side of the central part that is looked at; as even or odd as `image_px`."""
    bin_px: int = 2
    """Side of the squares that are averaged."""
    fields: tuple[int, int] = (6, 16)
    """Fields (equivariant) or channels (plain) of the two convolutions."""
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if self.architecture not in {"equivariant", "plain"}:
            self._refuse(f"architecture is equivariant or plain, got {self.architecture!r}")
        if not 0 < self.cut_px <= self.image_px or (self.image_px - self.cut_px) % 2:
            self._refuse(
                f"cut_px={self.cut_px} is no centred part of image_px={self.image_px}: both are even, or both odd"
            )
        if self.bin_px < 1 or self.cut_px % self.bin_px:
            self._refuse(f"bin_px={self.bin_px} does not divide cut_px={self.cut_px}")
        if min(self.fields) < 1 or not 0.0 <= self.dropout < 1.0:
            self._refuse(f"fields are positive and dropout lies in [0, 1), got {self.fields} and {self.dropout}")
        loss = 2 * _PADDING + 1 - _SIZE
        first = self.cut_px // self.bin_px + loss
        second = first // 2 + loss
        if first % 2 or second % 2 or second < 2:
            self._refuse(
                f"cut_px / bin_px = {self.cut_px // self.bin_px} px does not pool evenly twice "
                "(34, 50, 66, 74 and 150 do), and the symmetry would break"
            )

    @property
    def map_px(self) -> int:
        """Side of the maps that the dense layers read."""
        loss = 2 * _PADDING + 1 - _SIZE
        return ((self.cut_px // self.bin_px + loss) // 2 + loss) // 2

    @staticmethod
    def _refuse(msg: str) -> None:
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def circular_mask(side_px: int, *, margin: float = 0.01, softness_px: float = 2.0) -> Tensor:
    """Return a mask that is 1 in the inscribed circle and falls like a Gaussian outside.

    Corners would turn out of the image; without them every turn shows the same sky.

    Parameters
    ----------
    side_px : int
    margin : float
        Share of the radius that the circle stays inside of the edge.
    softness_px : float
        Scale of the fall, px, in the square of the radius.

    Returns
    -------
    Tensor of float32, shape (side_px, side_px)

    References
    ----------
    Weiler & Cesa 2019 (arXiv:1911.08251), the mask of their library; the reference of this network uses it.
    """
    centre = (side_px - 1) / 2
    offset = torch.arange(side_px, dtype=torch.float64) - centre
    beyond = offset[:, None] ** 2 + offset[None] ** 2 - (centre - margin * centre) ** 2
    return torch.exp(-beyond.clamp(min=0.0) / softness_px**2).float()


class RadioLeNet(nn.Module):
    """LeNet on images (B, 1, image_px, image_px): logits of FR I and FR II, and the layer before them."""

    mask: Tensor

    def __init__(self, config: LeNetConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.fields
        self.register_buffer("mask", circular_mask(config.cut_px), persistent=False)
        if config.architecture == "equivariant":
            self.body: nn.Module = nn.Sequential(
                LiftingConv(1, first, _SIZE, padding=_PADDING),
                nn.ReLU(),
                BlurPool(),
                GroupConv(first, second, _SIZE, padding=_PADDING),
                nn.ReLU(),
                BlurPool(),
                GroupPool(),
                LiftingConv(second, _HIDDEN, config.map_px),
                GroupPool(),
            )
        else:
            self.body = nn.Sequential(
                nn.Conv2d(1, first, _SIZE, padding=_PADDING),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(first, second, _SIZE, padding=_PADDING),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(second, _HIDDEN, config.map_px),
            )
        self.hidden = nn.Linear(_HIDDEN, FEATURES)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(FEATURES, 2)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` (B, 2), FR I first, and ``features`` (B, 84).

        Raises
        ------
        SpecError
            If the images have another size than the network was made for.
        """
        side = self.config.image_px
        if image.ndim != 4 or tuple(image.shape[1:]) != (1, side, side):
            msg = f"the network reads images (B, 1, {side}, {side}), got {tuple(image.shape)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        edge = (side - self.config.cut_px) // 2
        inner = image[..., edge : side - edge, edge : side - edge] * self.mask.to(image.dtype)
        if self.config.bin_px > 1:
            inner = avg_pool2d(inner, self.config.bin_px)
        flat = relu(self.body(inner).flatten(1))
        features = relu(self.hidden(flat))
        return {"logits": self.head(self.dropout(features)), "features": features}


def make_lenet(config: LeNetConfig | None = None, *, seed: int = 0) -> RadioLeNet:
    """Return an untrained network, the same one for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RadioLeNet(config or LeNetConfig())
