"""Several LeNets as one network, each shown the image in several orientations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.radio_galaxy.network import LeNetConfig, RadioLeNet, make_lenet

__all__ = ["RadioEnsemble", "angles_of"]


def angles_of(orientations: int, architecture: str) -> tuple[float, ...]:
    """Return the angles, degrees, at which a network must look: the whole circle, evenly.

    The equivariant network gives the same at every quarter turn, so that where `orientations` is
    a multiple of 4 a quarter of them has all its answers, each as often as the others.

    Raises
    ------
    SpecError
        If `orientations` is not positive.

    Examples
    --------
    >>> angles_of(8, "equivariant")
    (0.0, 45.0)
    """
    if orientations < 1:
        msg = f"orientations must be at least 1, got {orientations}"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, orientations=orientations)
    seen = orientations // 4 if architecture == "equivariant" and orientations % 4 == 0 else orientations
    return tuple(360.0 * k / orientations for k in range(seen))


class RadioEnsemble(nn.Module):
    """Members of one shape, trained from different seeds.

    Parameters
    ----------
    members : sequence of RadioLeNet
        At least one, all of one config.
    orientations : int
        Evenly spaced turns of the image that each member is shown.

    Raises
    ------
    SpecError
        If there is no member, or they are of different configs.
    """

    def __init__(self, members: Sequence[RadioLeNet], *, orientations: int = 8) -> None:
        super().__init__()
        if not members or len({member.config for member in members}) > 1:
            msg = f"an ensemble is of one or more networks of one shape, got {[m.config for m in members]}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        self.members = nn.ModuleList(members)
        self.angles = angles_of(orientations, members[0].config.architecture)

    @classmethod
    def untrained(cls, config: LeNetConfig, n_members: int, *, orientations: int = 8) -> RadioEnsemble:
        """Return an ensemble whose weights are to be loaded."""
        return cls([make_lenet(config, seed=k) for k in range(n_members)], orientations=orientations)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Show images (B, 1, H, H) to every member in every orientation.

        Returns
        -------
        dict of str to Tensor
            ``logits`` (B, A, E, 2) of A angles and E members, FR I first; the first angle is 0.
            ``features`` (B, 84), the penultimate layer of the first member at angle 0.
        """
        logits, features = [], None
        for angle in self.angles:
            shown = _turned(image, angle)
            outs = [member(shown) for member in self.members]
            logits.append(torch.stack([out["logits"] for out in outs], dim=1))
            features = outs[0]["features"] if features is None else features
        assert features is not None
        return {"logits": torch.stack(logits, dim=1), "features": features}


def _turned(image: Tensor, angle_deg: float) -> Tensor:
    """Return images turned by one angle; quarter turns move pixels and change no value."""
    quarters, rest = divmod(angle_deg, 90.0)
    whole = torch.rot90(image, int(quarters), (-2, -1))
    if rest == 0.0:
        return whole
    cos, sin = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    theta = image.new_tensor([[cos, -sin, 0.0], [sin, cos, 0.0]]).expand(len(image), 2, 3)
    grid = affine_grid(theta, list(image.shape), align_corners=False)
    return grid_sample(whole, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
