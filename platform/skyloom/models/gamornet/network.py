"""GaMorNet's network: AlexNet on one channel, its size a parameter.

Eight weight layers, five of convolution and three dense, numbered 1 to 8 as the transfer
recipe counts them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from skyloom.nn.lrn import across_channels, cross_channel_norm
from skyloom.runtime.networks import Network

__all__ = ["FORMS", "Form", "GaMorNet", "build_network", "copy_layers", "freeze", "outputs"]

LAYERS = 8


@dataclass(frozen=True, slots=True)
class Form:
    """Size of a network."""

    size: int
    """Side of the image in px."""
    channels: tuple[int, int, int, int, int]
    dense: int


FORMS: Mapping[str, Form] = {
    "small": Form(64, (16, 48, 64, 64, 48), 128),
    "candels": Form(83, (96, 256, 384, 384, 256), 4096),
    "sdss": Form(167, (96, 256, 384, 384, 256), 4096),
}
"""``sdss`` and ``candels`` are the published ones; ``small`` is narrower, for crops of 64 px."""


class _Same(nn.Module):
    """A layer behind zeros (or -inf) that give ``ceil(n / stride)`` px, more of them after than before."""

    def __init__(self, inner: nn.Conv2d | nn.MaxPool2d, kernel: int, stride: int, fill: float) -> None:
        super().__init__()
        self.inner, self.kernel, self.stride, self.fill = inner, kernel, stride, fill

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[-1]
        total = max((-(-n // self.stride) - 1) * self.stride + self.kernel - n, 0)
        before, after = total // 2, total - total // 2
        out: Tensor = self.inner(functional.pad(x, (before, after, before, after), value=self.fill))
        return out


class GaMorNet(nn.Module):
    """Images (B, 1, size, size) in; ``logits`` (B, 3) and the last activations, ``hidden`` (B, dense), out."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        pairs = zip((1, *form.channels[:-1]), form.channels, (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), strict=True)
        self.convolutions = nn.ModuleList(
            _Same(nn.Conv2d(before, after, kernel, stride), kernel, stride, 0.0)
            for before, after, kernel, stride in pairs
        )
        self.pool = _Same(nn.MaxPool2d(3, 2), 3, 2, -math.inf)
        self.norm = cross_channel_norm()
        flat = form.channels[-1] * self.sides()[-1] ** 2
        self.dense = nn.ModuleList(
            [nn.Linear(flat, form.dense), nn.Linear(form.dense, form.dense), nn.Linear(form.dense, 3)]
        )
        self.dropout = nn.Dropout(0.5)

    def sides(self) -> tuple[int, ...]:
        """Return the sides of the feature maps in px: image, first convolution, three poolings."""
        sides = [self.form.size, -(-self.form.size // 4)]
        for _ in range(3):
            sides.append(-(-sides[-1] // 2))
        return tuple(sides)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return logits and hidden activations."""
        x = image
        for number, convolution in enumerate(self.convolutions, start=1):
            x = torch.relu(convolution(x))
            if number in {1, 2, 5}:
                x = self.pool(x)
                # Not while it learns: weights that a seed gave stay those that it gives.
                x = across_channels(self.norm, x) if x.is_cpu and not self.training else self.norm(x)
        x = x.flatten(1)
        first, second, last = self.dense
        hidden = torch.tanh(second(self.dropout(torch.tanh(first(x)))))
        return {"logits": last(self.dropout(hidden)), "hidden": hidden}

    def layer(self, number: int) -> nn.Module:
        """Return weight layer `number`, 1 to 8."""
        inner = [convolution.inner for convolution in self.convolutions if isinstance(convolution, _Same)]
        layers: list[nn.Module] = [*inner, *self.dense]
        return layers[number - 1]


def build_network(form: Form, *, seed: int) -> GaMorNet:
    """Return an untrained network, the same one for the same seed.

    Convolutions: uniform, variance scaled by the fan-in; dense: normal of standard deviation
    ``1 / sqrt(fan_in)``, cut at two of them; biases zero.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = GaMorNet(form)
        for number in range(1, LAYERS + 1):
            layer = net.layer(number)
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            assert layer.bias is not None
            fan_in = layer.weight[0].numel()
            if isinstance(layer, nn.Conv2d):
                bound = math.sqrt(3.0 / fan_in)
                nn.init.uniform_(layer.weight, -bound, bound)
            else:
                sd = 1.0 / math.sqrt(fan_in)
                nn.init.trunc_normal_(layer.weight, std=sd, a=-2.0 * sd, b=2.0 * sd)
            nn.init.zeros_(layer.bias)
    return net


def copy_layers(source: GaMorNet, target: GaMorNet, layers: Sequence[int]) -> None:
    """Load weight layers (numbers from 1 to 8) of one network into another."""
    for number in layers:
        target.layer(number).load_state_dict(source.layer(number).state_dict())


def freeze(net: GaMorNet, layers: Sequence[int]) -> None:
    """Let only the other layers learn."""
    for number in range(1, LAYERS + 1):
        net.layer(number).requires_grad_(number not in layers)


def outputs(
    net: GaMorNet | Network, images: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return logits (N, 3) and hidden activations (N, dense) of stretched images (N, 1, size, size)."""
    network = net if isinstance(net, Network) else Network(net)
    made = network(image=images)
    return made["logits"].astype(np.float64), made["hidden"]
