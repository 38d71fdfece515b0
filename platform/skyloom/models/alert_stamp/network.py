"""The networks: a small CNN that sees an alert's stamps in all eight orientations, and five of them together.

After the stamp classifiers of ALeRCE (Carrasco-Davis et al. 2021, arXiv:2008.03309: science, template
and difference stamps of one alert, with features of the packet, through a rotationally invariant CNN)
and braai (Duev et al. 2019, arXiv:1907.11259: a CNN on the three stamps). Departures: few weights, for
there are a hundred objects to learn from; all eight symmetries of the square, where ALeRCE pools
over four turns (recalled, not verified); two features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skyloom.errors import ErrorKind, SpecError
from skyloom.nn.dihedral import transform

__all__ = ["HIDDEN", "N_CLASSES", "StampEnsemble", "StampNet", "build_network"]

N_CLASSES = 3
HIDDEN = 24
"""Length of the penultimate layer."""

_CHANNELS = (12, 16, 24, 24)
_EMBEDDED = 24
_VIEWS = 8


class StampNet(nn.Module):
    """One CNN on stamps (B, 3, S, S) and what is known of the alert (B, A).

    What the eight turned and mirrored images give is averaged before the dense layers, so none
    of these changes the output. While training one orientation is seen, which the batch comes in.

    Parameters
    ----------
    n_context : int
        Numbers in `alert`; 0 for a network that sees stamps alone.
    dropout : float
        Before the last layer.
    """

    def __init__(self, n_context: int, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.n_context = n_context
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(zip((3, *_CHANNELS[:-1]), _CHANNELS, strict=True)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if k < len(_CHANNELS) - 1 else []
        self.body = nn.Sequential(*layers)
        self.embed = nn.Linear(2 * _CHANNELS[-1], _EMBEDDED)
        self.hidden = nn.Linear(_EMBEDDED + n_context, HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(HIDDEN, N_CLASSES)

    def forward(self, image: Tensor, alert: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` (B, 3) and the penultimate layer, ``hidden`` (B, 24)."""
        views = 1 if self.training else _VIEWS
        maps = self.body(torch.cat([transform(image, g) for g in range(views)]))
        middle = (maps.shape[-1] - 1) // 2
        near = maps[..., middle - 1 : middle + 2, middle - 1 : middle + 2].mean(dim=(-2, -1))
        seen = torch.relu(self.embed(torch.cat([near, maps.mean(dim=(-2, -1))], dim=1)))
        pooled = seen.reshape(views, len(image), -1).mean(dim=0)
        known = [alert] if self.n_context else []
        hidden = torch.relu(self.hidden(torch.cat([pooled, *known], dim=1)))
        return {"logits": self.head(self.dropout(hidden)), "hidden": hidden}


class StampEnsemble(nn.Module):
    """Several `StampNet` as one module: ``logits`` (B, E, 3) and ``hidden`` (B, E, 24).

    Raises
    ------
    SpecError
        If there is no member.
    """

    def __init__(self, members: Sequence[StampNet]) -> None:
        super().__init__()
        if not members:
            raise SpecError("an ensemble has at least one network", kind=ErrorKind.BAD_PARAMETER)
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor, alert: Tensor) -> dict[str, Tensor]:
        """Return what every member says."""
        made = [member(image, alert) for member in self.members]
        return {name: torch.stack([one[name] for one in made], dim=1) for name in ("logits", "hidden")}


def build_network(n_context: int, *, seed: int, dropout: float = 0.3) -> StampNet:
    """Return an untrained network, the same one for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StampNet(n_context, dropout=dropout)
