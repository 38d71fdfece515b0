"""Convolutions on a circle: turning the input turns the output, and pooling forgets the turn.

A folded light curve has no first phase. Layers that wrap around are *equivariant* to cyclic
shifts; their mean over phase is *invariant*. Each layer has a zero-padded form beside it, which
is neither: what the symmetry is worth is measured against it. Source: Zhang & Bloom 2021
(ads:2021MNRAS.505..515Z), whose "symmetry padding" puts the end of the sequence before its beginning.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad, relu
from torch.nn.utils.parametrizations import weight_norm

from skyloom.errors import ErrorKind, SpecError

__all__ = ["ConvBlock", "Padding", "SequenceConv", "SequencePool", "summary", "wrap"]

Padding = Literal["cyclic", "zero"]


def wrap(x: Tensor, before: int) -> Tensor:
    """Put the last `before` samples of sequences (B, C, L) in front of them, however short they are.

    Returns
    -------
    Tensor, shape (B, C, before + L)
        torch's own circular padding refuses a padding longer than the sequence; this goes round again.
    """
    length = x.shape[-1]
    return x[..., torch.arange(-before, length, device=x.device) % length]


def _padded(x: Tensor, before: int, padding: Padding) -> Tensor:
    return wrap(x, before) if padding == "cyclic" else pad(x, (before, 0))


class SequenceConv(nn.Module):
    """Weight-normalised convolution that keeps the length: padded by ``(size - 1) * dilation`` in front.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    size : int
        Taps of the filter.
    dilation : int
        Samples between taps.
    padding : str
        ``cyclic``: equivariant to every cyclic shift. ``zero``: the causal convolution of a TCN.

    Raises
    ------
    SpecError
        If a size is not positive, or the padding is neither.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, *, dilation: int = 1, padding: Padding = "cyclic"
    ) -> None:
        super().__init__()
        if min(inputs, outputs, size, dilation) < 1 or padding not in {"cyclic", "zero"}:
            msg = (
                "channels, size and dilation are at least 1 and padding is cyclic or zero, "
                f"got {inputs}, {outputs}, {size}, {dilation} and {padding!r}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        self.before = (size - 1) * dilation
        self.padding: Padding = padding
        self.conv = weight_norm(nn.Conv1d(inputs, outputs, size, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, inputs, L) to (B, outputs, L)."""
        out: Tensor = self.conv(_padded(x, self.before, self.padding))
        return out


class ConvBlock(nn.Module):
    """Two convolutions with ReLU and dropout, and the input added: one level of a TCN or ResNet.

    Where the widths differ the input goes through a convolution of one tap.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        dilation: int = 1,
        dropout: float = 0.0,
        padding: Padding = "cyclic",
    ) -> None:
        super().__init__()
        self.first = SequenceConv(inputs, outputs, size, dilation=dilation, padding=padding)
        self.second = SequenceConv(outputs, outputs, size, dilation=dilation, padding=padding)
        self.dropout = nn.Dropout(dropout)
        self.residual: nn.Module = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, L) to (B, outputs, L)."""
        inner = self.dropout(relu(self.second(self.dropout(relu(self.first(x))))))
        return relu(inner + self.residual(x))


class SequencePool(nn.Module):
    """Largest of two samples `dilation` apart.

    Parameters
    ----------
    stride : int
        2 halves the sequence (rounding up): a shift by one sample changes which pairs are compared, so
        that only shifts by an even number survive, and none where the length is odd. 1 keeps the
        length and with it every shift; what follows must then look `dilation` times 2 apart.
    dilation : int
        Distance of the two samples.
    padding : str
        ``cyclic`` or ``zero``, as in `SequenceConv`.
    """

    def __init__(self, *, stride: Literal[1, 2] = 2, dilation: int = 1, padding: Padding = "cyclic") -> None:
        super().__init__()
        self.stride, self.dilation = stride, dilation
        self.padding: Padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, C, L) to (B, C, ceil(L / stride))."""
        return max_pool1d(_padded(x, self.dilation, self.padding), 2, stride=self.stride, dilation=self.dilation)


def summary(x: Tensor, padding: Padding) -> Tensor:
    """Return one value per channel, (B, C): the mean over phase (cyclic), or the last sample (zero)."""
    return x.mean(dim=-1) if padding == "cyclic" else x[..., -1]
