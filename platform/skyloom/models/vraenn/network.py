"""The variational recurrent autoencoder: a light curve to ten numbers and back.

Source: Villar et al. 2021 (ads:2021ApJS..255...24V). Departures: two linear layers on the recurrent state
of the last valid step give mean and log-variance; every step after it is out of the loss, too; all
recurrent layers have tanh; magnitudes are scaled by fixed numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skyloom.errors import ErrorKind, SpecError
from skyloom.models.vraenn.columns import LATENTS
from skyloom.models.vraenn.curves import PHASES_D, REST_NM

__all__ = ["NetworkConfig", "Vraenn", "divergence", "make_network", "misfit", "scaled"]

_BRIGHT, _RANGE_MAG = 17.0, 4.0
"""What is subtracted from minus the absolute magnitude, and what it is divided by."""
_TIME_D = 50.0
_TRUST_MAG = 0.3
"""Standard deviation of the Gaussian process at which a value counts half in the loss."""
_MOST_LOG_VAR = 6.0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Shape of the autoencoder."""

    width: int = 64
    """Of each of the four recurrent layers; a multiple of 16, so that a row begins where a vector register does:
    else its last bits depend on its place in the tile."""
    latents: int = LATENTS

    def __post_init__(self) -> None:
        if self.width < 1 or self.width % 16 or self.latents < 1:
            msg = f"width is a positive multiple of 16 and latents positive, got {self.width} and {self.latents}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def scaled(light: Tensor) -> Tensor:
    """Return luminosities (minus absolute magnitudes) as the network has them: about -1 to 2."""
    return (light - _BRIGHT) / _RANGE_MAG


class Vraenn(nn.Module):
    """Encoder and decoder.

    In training the decoder gets a draw of the encoding; else its mean.
    """

    phase: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        bands, width = len(REST_NM), config.width
        self.encoder = nn.GRU(2 * bands + 2, width, num_layers=2, batch_first=True)
        self.mean = nn.Linear(width, config.latents)
        self.log_var = nn.Linear(width, config.latents)
        self.decoder = nn.GRU(config.latents + 2, width, num_layers=2, batch_first=True)
        self.light = nn.Linear(width, bands)
        self.register_buffer("phase", torch.tensor(PHASES_D) / _TIME_D)

    def forward(self, light: Tensor, light_sd: Tensor, limit: Tensor, steps: Tensor) -> dict[str, Tensor]:
        """Encode and decode.

        Parameters
        ----------
        light, light_sd : Tensor, shape (B, T, 6)
            As `skyloom.models.vraenn.curves.Sequences` has them; steps from `steps` on are not looked at.
        limit : Tensor, shape (B,)
        steps : Tensor of int64, shape (B,)
            1 to T.

        Returns
        -------
        dict of str to Tensor
            ``mean`` and ``log_var`` of the encoding, shape (B, 10); ``decoded``, shape (B, T, 6), on the scale
            of `scaled`; and ``misfit``, shape (B,).
        """
        mean, log_var = self.encode(light, light_sd, limit, steps)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var) if self.training else mean
        decoded = self.decode(z, limit)
        return {
            "mean": mean,
            "log_var": log_var,
            "decoded": decoded,
            "misfit": misfit(decoded, light, light_sd, steps),
        }

    def encode(self, light: Tensor, light_sd: Tensor, limit: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the encoding, shape (B, 10) each."""
        beside = self._beside(limit, light.shape[1])
        uncertain = torch.log(light_sd + 0.01)
        states, _ = self.encoder(torch.cat([beside, scaled(light), uncertain], dim=2))
        last = states[torch.arange(len(states), device=states.device), steps - 1]
        return self.mean(last), self.log_var(last).clamp(-_MOST_LOG_VAR * 2, _MOST_LOG_VAR)

    def decode(self, z: Tensor, limit: Tensor) -> Tensor:
        """Return the light curve of an encoding (B, 10), shape (B, T, 6), on the scale of `scaled`."""
        beside = self._beside(limit, len(self.phase))
        states, _ = self.decoder(torch.cat([z[:, None].expand(-1, beside.shape[1], -1), beside], dim=2))
        out: Tensor = self.light(states)
        return out

    def _beside(self, limit: Tensor, steps: int) -> Tensor:
        shape = (len(limit), steps, 1)
        return torch.cat(
            [self.phase[:steps, None].expand(shape), scaled(limit)[:, None, None].expand(shape)], dim=2
        )


def misfit(decoded: Tensor, light: Tensor, light_sd: Tensor, steps: Tensor) -> Tensor:
    """Return the weighted mean square of what the decoder misses, over valid steps, shape (B,).

    A value that the Gaussian process does not know (its standard deviation is large) counts little.
    """
    valid = torch.arange(light.shape[1], device=light.device) < steps[:, None]
    weight = valid[:, :, None] / (1.0 + (light_sd / _TRUST_MAG).square())
    missed = (decoded - scaled(light)).square() * weight
    return missed.sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-6)


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence from a standard normal, summed over latents, shape (B,)."""
    return 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var).sum(1)


def make_network(config: NetworkConfig | None = None, *, seed: int = 0) -> Vraenn:
    """Return an untrained autoencoder, the same one for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Vraenn(config or NetworkConfig())
