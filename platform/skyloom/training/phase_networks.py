"""Train networks on folded light curves from several seeds: those of periodic-class, and their twins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyloom.training.request import TrainRequest

if TYPE_CHECKING:
    import torch

    from skyloom.models.periodic_class.network import PhaseEnsemble
    from skyloom.training.loop import History
    from skyloom.training.periodic_class import Recipe

__all__ = ["PhaseExamples", "fit_ensemble"]

_JUDGES = 10
"""One training star in so many judges the epochs."""


@dataclass(frozen=True, slots=True, eq=False)
class PhaseExamples:
    """M stars to learn from."""

    folded: NDArray[np.float32]
    """Channels of the folded light curve, (M, C, L)."""
    extras: NDArray[np.float32]
    """Numbers beside it, standardised, (M, F)."""
    target: NDArray[np.int64]
    """Place of the class, (M,)."""
    classes: int


def fit_ensemble(
    examples: PhaseExamples,
    recipe: Recipe,
    request: TrainRequest,
    *,
    twin: bool,
    curves: dict[str, History],
) -> PhaseEnsemble:
    """Train networks of one shape from as many seeds, all classes weighing the same.

    Parameters
    ----------
    examples : PhaseExamples
        One in ten of them judges the epochs.
    recipe : Recipe
    request : TrainRequest
    twin : bool
        Whether they are those that pad with zeros, and see where phase begins.
    curves : dict
        Gets the history of each network.

    Raises
    ------
    SpecError, DataError
        As `skyloom.training.loop.fit`.
    """
    from skyloom.models.periodic_class.network import (
        TWINS,
        Architecture,
        NetworkConfig,
        PhaseEnsemble,
        make_network,
    )
    from skyloom.training.loop import ArrayExamples, LoopConfig, fit

    kind: Architecture = TWINS[recipe.architecture] if twin else recipe.architecture
    config = NetworkConfig(
        channels=examples.folded.shape[1],
        extras=examples.extras.shape[1],
        classes=examples.classes,
        architecture=kind,
        size=recipe.size,
        depth=recipe.depth,
        width=recipe.width,
        dropout=recipe.dropout,
    )
    arrays = {"folded": examples.folded, "extras": examples.extras}
    target = examples.target
    judges = np.arange(len(target)) % _JUDGES == 0
    loss = _weighted(np.bincount(target[~judges], minlength=config.classes))
    ensemble = PhaseEnsemble(config, recipe.members)
    for k in range(recipe.members):
        seed = 100 * request.seed + k
        member, stage = make_network(config, seed=seed), f"{kind}-{k}"
        curves[stage] = fit(
            member,
            ArrayExamples({name: values[~judges] for name, values in arrays.items()}, target[~judges]),
            ArrayExamples({name: values[judges] for name, values in arrays.items()}, target[judges]),
            loss=loss,
            config=LoopConfig(
                epochs=recipe.epochs,
                batch_rows=recipe.batch_rows,
                learning_rate=recipe.rate,
                weight_decay=recipe.weight_decay,
                optimiser="adamw",
                seed=seed,
            ),
            folder=request.folder(stage),
            augment=_Jitter(recipe.noise),
            device=request.device,
            progress=request.watch(stage),
            resume=request.resume,
        )
        ensemble.members[k].load_state_dict(member.state_dict())
    return ensemble


class _Jitter:
    """Adds noise to the numbers beside the light curve: no star's magnitude shall be learnt by heart."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, arrays: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        noise = rng.normal(0.0, self.scale, arrays["extras"].shape)
        return {**arrays, "extras": (arrays["extras"] + noise).astype(np.float32)}


def _weighted(count: NDArray[np.int64]) -> Any:
    """Return the cross entropy in which all classes weigh the same, whatever their number of stars."""
    import torch

    weight = torch.tensor(count.sum() / (len(count) * np.fmax(count, 1)), dtype=torch.float32)

    def weighted_cross_entropy(outputs: dict[str, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(outputs["logits"], target, weight=weight.to(target.device))

    return weighted_cross_entropy
