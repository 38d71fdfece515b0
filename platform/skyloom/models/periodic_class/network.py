"""The networks: iTCN and iResNet on folded light curves, their twins, and a recurrent baseline.

Source: Zhang & Bloom 2021 (ads:2021MNRAS.505..515Z). Departures: the folded light curve comes in
phase bins (`skyloom.timeseries.folding`) instead of as a list of points with the gaps between
them; filters start as torch makes them; several networks of one shape are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from skyloom.errors import ErrorKind, SpecError
from skyloom.nn.cyclic import ConvBlock, Padding, SequenceConv, SequencePool, summary

__all__ = ["HIDDEN", "TWINS", "Architecture", "NetworkConfig", "PhaseEnsemble", "PhaseNet", "make_network"]

Architecture = Literal["itcn", "tcn", "iresnet", "iresnet-exact", "resnet", "gru"]
HIDDEN = 32
"""Length of the layer before the logits."""

_PADDING: dict[Architecture, Padding] = {
    "itcn": "cyclic",
    "tcn": "zero",
    "iresnet": "cyclic",
    "iresnet-exact": "cyclic",
    "resnet": "zero",
}
TWINS: dict[Architecture, Architecture] = {"itcn": "tcn", "iresnet": "resnet", "iresnet-exact": "resnet"}
"""The network with the same parameters that pads with zeros and looks at the last sample."""
_BLOCKS_PER_STAGE = 2


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Shape of a network."""

    channels: int
    """Of the folded light curve."""
    extras: int
    """Numbers beside it: period, brightness and so on."""
    classes: int
    architecture: Architecture = "itcn"
    """``itcn`` and ``iresnet-exact`` are invariant to every cyclic shift; ``iresnet`` to those by a multiple
    of ``2 ** (depth - 1)`` where that divides the number of bins, and else to none; ``tcn``, ``resnet`` and
    ``gru`` to none."""
    size: int = 3
    """Taps of each filter."""
    depth: int = 5
    """Levels (TCN: level i looks ``2 ** i`` apart), stages (ResNet) or layers (GRU)."""
    width: int = 16
    """Channels; of a ResNet those of the first stage."""
    max_width: int = 32
    """Of a ResNet, whose width doubles from stage to stage up to this."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.architecture not in {*_PADDING, "gru"}:
            msg = f"architecture must be one of {', '.join((*_PADDING, 'gru'))}, got {self.architecture!r}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, architecture=self.architecture)
        least = min(self.channels, self.classes, self.size, self.depth, self.width, self.max_width)
        if least < 1 or self.extras < 0 or not 0.0 <= self.dropout < 1.0:
            msg = f"sizes are positive, extras not negative and dropout lies in [0, 1), got {self}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)

    @property
    def receptive_bins(self) -> int:
        """Bins that one output of the TCN sees: ``1 + 2 (size - 1) (2 ** depth - 1)``."""
        return 1 + 2 * (self.size - 1) * ((1 << self.depth) - 1)


class PhaseNet(nn.Module):
    """One network on folded light curves (B, channels, L) and numbers (B, extras)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        if config.architecture == "gru":
            self.recurrent: nn.Module = nn.GRU(
                config.channels, config.width, num_layers=config.depth, batch_first=True
            )
            self.body: nn.Module = nn.Identity()
            out = config.width
        else:
            self.recurrent = nn.Identity()
            self.padding = _PADDING[config.architecture]
            is_tcn = config.architecture in {"itcn", "tcn"}
            layers, out = _tcn(config, self.padding) if is_tcn else _resnet(config, self.padding)
            self.body = nn.Sequential(*layers)
        self.hidden = nn.Conv1d(out + config.extras, HIDDEN, 1)
        self.head = nn.Conv1d(HIDDEN, config.classes, 1)

    def forward(self, folded: Tensor, extras: Tensor) -> dict[str, Tensor]:
        """Classify.

        Returns
        -------
        dict of str to Tensor
            ``logits`` (B, classes), and ``features`` (B, `HIDDEN`), the layer before them; both are means
            over phase in the invariant networks, and those of the last sample in the others.
        """
        if self.config.architecture == "gru":
            maps = self.recurrent(folded.transpose(1, 2))[0][:, -1, :, None]
            padding: Padding = "zero"
        else:
            maps, padding = self.body(folded), self.padding
        beside = extras[:, :, None].expand(-1, -1, maps.shape[-1])
        hidden = relu(self.hidden(torch.cat([maps, beside], dim=1)))
        return {"logits": summary(self.head(hidden), padding), "features": summary(hidden, padding)}


def _tcn(config: NetworkConfig, padding: Padding) -> tuple[list[nn.Module], int]:
    widths = [config.channels] + [config.width] * config.depth
    blocks: list[nn.Module] = [
        ConvBlock(widths[i], widths[i + 1], config.size, dilation=2**i, dropout=config.dropout, padding=padding)
        for i in range(config.depth)
    ]
    return blocks, config.width


def _resnet(config: NetworkConfig, padding: Padding) -> tuple[list[nn.Module], int]:
    """Stages of two blocks with pooling between them; the exact form keeps the length and looks further apart."""
    exact = config.architecture == "iresnet-exact"
    width, layers, dilation = config.width, list[nn.Module](), 1
    layers.append(SequenceConv(config.channels, width, config.size, padding=padding))
    for stage in range(config.depth):
        if stage:
            layers.append(SequencePool(stride=1 if exact else 2, dilation=dilation, padding=padding))
            dilation *= 2 if exact else 1
        grown = width if stage == 0 else min(2 * width, config.max_width)
        for block in range(_BLOCKS_PER_STAGE):
            layers.append(
                ConvBlock(
                    grown if block else width,
                    grown,
                    config.size,
                    dilation=dilation,
                    dropout=config.dropout,
                    padding=padding,
                )
            )
        width = grown
    return layers, width


class PhaseEnsemble(nn.Module):
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

    def forward(self, folded: Tensor, extras: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` (B, members, classes) and the first member's ``features`` (B, `HIDDEN`)."""
        outs = [member(folded, extras) for member in self.members]
        return {"logits": torch.stack([out["logits"] for out in outs], dim=1), "features": outs[0]["features"]}


def make_network(config: NetworkConfig, *, seed: int = 0) -> PhaseNet:
    """Return an untrained network, the same one for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PhaseNet(config)
