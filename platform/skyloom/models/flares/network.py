"""The network: a small convolutional one on 200 cadences, which slides over a light curve without copies of it.

Source: Feinstein, Montet & Ansdell 2020 (stella, ads:2020AJ....160..219F). Departures: no zeros are put at the
ends of a window and there is one more pair of convolution and pooling, so that every pooling divides its
input evenly: the same numbers then come from windows, one by one, and from one pass over the whole light curve
with dilated filters (`FlareNet.slide`), in which neighbouring windows share all they have in common. The
extra pooling makes the dense layer six times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, max_pool1d, relu

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.flares.curves import CHANNELS

__all__ = ["FlareEnsemble", "FlareNet", "NetworkConfig", "make_network"]

_TAPS = (5, 3, 3)
_LENGTH = 23
"""Of what the convolutions leave of a window: 200 > 196 > 98 > 96 > 48 > 46 > 23."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Shape of a network."""

    channels: int = CHANNELS
    widths: tuple[int, int, int] = (16, 32, 32)
    """Filters of the three convolutions."""
    hidden: int = 16
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.channels, self.hidden, *self.widths) < 1 or len(self.widths) != 3:
            msg = f"sizes are positive and there are three convolutions, got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if not 0.0 <= self.dropout < 1.0:
            msg = f"dropout lies in [0, 1), got {self.dropout}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, dropout=self.dropout)


class FlareNet(nn.Module):
    """One network: the logit of a flare at cadence i from cadences ``[i - 100, i + 100)``."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (config.channels, *config.widths)
        self.convolutions = nn.ModuleList(nn.Conv1d(sizes[k], sizes[k + 1], taps) for k, taps in enumerate(_TAPS))
        self.dense = nn.Conv1d(sizes[-1], config.hidden, _LENGTH)
        self.head = nn.Conv1d(config.hidden, 1, 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, windows: Tensor) -> Tensor:
        """Judge windows (B, channels, 200): logits (B,). Used to learn."""
        maps = windows
        for convolution in self.convolutions:
            maps = self.dropout(max_pool1d(relu(convolution(maps)), 2))
        logits: Tensor = self.head(self.dropout(relu(self.dense(maps))))
        return logits[:, 0, 0]

    def slide(self, curves: Tensor) -> Tensor:
        """Judge every window of curves (B, channels, L): logits (B, L - 199), the first of cadence 100.

        Poolings keep all places, and what follows looks twice as far apart, so that a place has what the
        windows that begin there would have. Nothing is dropped out.
        """
        maps, apart = curves, 1
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            maps = relu(conv1d(maps, convolution.weight, convolution.bias, dilation=apart))
            maps = max_pool1d(maps, 2, stride=1, dilation=apart)
            apart *= 2
        maps = relu(conv1d(maps, self.dense.weight, self.dense.bias, dilation=apart))
        logits: Tensor = self.head(maps)
        return logits[:, 0]


class FlareEnsemble(nn.Module):
    """Networks of one shape, trained from different seeds, side by side.

    Raises
    ------
    SpecError
        If there is no member.
    """

    def __init__(self, config: NetworkConfig, members: int) -> None:
        super().__init__()
        if members < 1:
            msg = f"an ensemble has at least one member, got {members}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, members=members)
        self.config = config
        self.members = nn.ModuleList(make_network(config, seed=k) for k in range(members))

    def forward(self, curves: Tensor) -> Tensor:
        """Return the members' probabilities at every window of curves (B, channels, L): (B, members, L - 199)."""
        slides = [member.slide(curves) for member in self.members if isinstance(member, FlareNet)]
        return torch.sigmoid(torch.stack(slides, dim=1))


def make_network(config: NetworkConfig, *, seed: int = 0) -> FlareNet:
    """Return an untrained network, the same one for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FlareNet(config)
