"""Train gamornet: on simple simulations, then by transfer on few labels of the harder domain.

    python -m skyloom.training.gamornet --output weights/gamornet/small

Everything is simulated. Beside the networks after transfer the bundle keeps two that show what
transfer brings: one trained on the few labels alone, one on the simple simulations alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SkyloomError, SpecError
from skyloom.evaluation import gamornet as measured
from skyloom.evaluation.calibration import fit_multiclass
from skyloom.evaluation.gamornet import CALIBRATION_START, Sample, purity_table, sample
from skyloom.evaluation.scores import ScoreTable
from skyloom.models import gamornet
from skyloom.models.architecture import architecture_of
from skyloom.models.card import Card, Domain, Input, Plain
from skyloom.models.conformal import set_threshold
from skyloom.models.gamornet.images import NORMALISATION
from skyloom.models.probabilities import calibrated, softmax
from skyloom.models.weights import write_bundle
from skyloom.runtime.contract import Weights
from skyloom.simulators.surveys import survey
from skyloom.training.novelty import fit_novelty

__all__ = ["RECIPES", "Recipe", "card_of", "main", "train", "transferred"]

RECIPES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "sdss": ((1, 2, 3, 4, 5), ()),
    "candels": ((1, 2, 3, 4, 5, 6), (1, 2, 3)),
}
"""Weight layers that are loaded, and those of them that are frozen."""

_PURITY = (0.97, 0.92)
"""Of disks and bulges, that the thresholds are to reach on calibration galaxies."""
_COVERAGE = 0.9
_GRID = np.round(np.arange(0.36, 0.996, 0.01), 2)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much is simulated and how long is trained."""

    form: str = "small"
    transfer: str = "candels"
    n_simulated: int = 10_000
    n_labels: int = 2_000
    n_calibration: int = 1_500
    n_held_out: int = 2_500
    epochs: int = 60
    transfer_epochs: int = 80
    scratch_epochs: int = 120
    rate: float = 1e-3
    transfer_rate: float = 5e-4

    def __post_init__(self) -> None:
        if self.transfer not in RECIPES or self.form not in measured.SURVEY_OF:
            known = f"{[*RECIPES]}, {[*measured.SURVEY_OF]}"
            msg = f"no recipe {self.transfer!r} or form {self.form!r}; there are {known}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if min(self.n_simulated, self.n_labels, self.n_calibration, self.n_held_out) < 50:
            msg = "a recipe needs at least 50 galaxies of each kind"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)


def train(out_dir: Path, *, seed: int = 0, variant: str = "small-simulated", recipe: Recipe | None = None) -> Card:
    """Simulate, train, transfer, calibrate, and write the bundle to ``out_dir``.

    Parameters
    ----------
    out_dir : path
        Gets ``card.toml`` and ``model.safetensors``.
    seed : int
        Of the galaxies and the training.
    variant : str
        Name of these weights.
    recipe : Recipe, optional

    Returns
    -------
    Card
        With the scores on held-out galaxies.
    """
    from skyloom.runtime.device import DeviceSettings, prepare, use

    # One thread: with more, sums of gradients depend on how they are shared out.
    with use(DeviceSettings(device="cpu", threads=1)) as settings:
        prepare(settings.resolved())
        return _train(out_dir, seed=seed, variant=variant, recipe=recipe or Recipe())


def _train(out_dir: Path, *, seed: int, variant: str, recipe: Recipe) -> Card:
    from skyloom.models.gamornet.network import FORMS, build_network, outputs
    from skyloom.runtime.networks import state_arrays
    from skyloom.training.gamornet_fit import fit

    started, form = time.process_time(), FORMS[recipe.form]
    simple = sample(recipe.form, recipe.n_simulated, seed=seed, domain="simulated")
    shown = sample(recipe.form, recipe.n_labels, seed=seed, domain="real")
    held = sample(recipe.form, recipe.n_calibration, seed=seed, domain="real", start=CALIBRATION_START)
    base = build_network(form, seed=seed)
    fit(base, *_split(simple), epochs=recipe.epochs, rate=recipe.rate, seed=seed)
    scratch = build_network(form, seed=seed + 1)
    fit(scratch, *_split(shown), epochs=recipe.scratch_epochs, rate=recipe.rate, seed=seed)
    arrays = {**state_arrays(base, "baseline.simulation."), **state_arrays(scratch, "baseline.scratch.")}
    members = [transferred(base, shown, recipe, seed=10 * seed + k) for k in range(gamornet.MEMBERS)]
    for k, net in enumerate(members):
        arrays |= state_arrays(net, f"net.{k}.")
    raw = np.stack([softmax(outputs(net, held.images)[0]) for net in members]).mean(axis=0)
    arrays |= _calibration(raw, held.label)
    arrays |= _novelty(outputs(members[0], shown.images)[1], shown.label, outputs(members[0], held.images)[1])
    weights = Weights(arrays, {}, "")
    estimator = gamornet.build(gamornet.Config(form=recipe.form), weights)
    training: dict[str, Plain] = {
        "data": "galaxies of skyloom.simulators.galaxies, drawn by galsim",
        "simulated": True,
        "selection": "class shares as L_B/L_T uniform gives them: 45 % disk, 10 % indeterminate, 45 % bulge",
        "seed": seed,
        **{name: getattr(recipe, name) for name in Recipe.__dataclass_fields__},
        "members": gamornet.MEMBERS,
        "calibration": "scale and class biases on half of n_calibration; thresholds, sets and ood on the rest",
        "disk_threshold": estimator.thresholds[0],
        "bulge_threshold": estimator.thresholds[1],
        "cpu_s": round(time.process_time() - started),
    }
    return write_bundle(out_dir, card_of(weights, training, variant), arrays)


def card_of(weights: Weights, training: Mapping[str, Plain], variant: str) -> Card:
    """Return the card of weights: scores measured on galaxies drawn again, everything else from the recipe.

    Parameters
    ----------
    weights : Weights
        Of the bundle.
    training : mapping
        As `train` writes it into the card: seed, sizes, form.
    variant : str
    """
    recipe = Recipe(**{name: training[name] for name in Recipe.__dataclass_fields__})  # type: ignore[arg-type]
    estimator = gamornet.build(gamornet.Config(form=recipe.form), weights)
    table = measured.evaluate(estimator, weights, training, variant=variant, form=recipe.form)
    return _card(recipe, variant, training, table, architecture_of(estimator))


def transferred(base: Any, shown: Sample, recipe: Recipe, *, seed: int) -> Any:
    """Return a network with layers of `base`, trained on `shown`; the frozen ones stay bit for bit.

    Layers that are not loaded start anew from `seed`: that, and the order, makes the members differ.
    """
    from skyloom.models.gamornet.network import FORMS, build_network, copy_layers, freeze
    from skyloom.training.gamornet_fit import fit

    loaded, frozen = RECIPES[recipe.transfer]
    net = build_network(FORMS[recipe.form], seed=seed + 2)
    copy_layers(base, net, loaded)
    freeze(net, frozen)
    fit(net, *_split(shown), epochs=recipe.transfer_epochs, rate=recipe.transfer_rate, seed=seed)
    return net


def _split(
    part: Sample,
) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Return nine tenths to learn from, and the last tenth to stop by: galaxies are in no order."""
    n = len(part.label) - max(1, len(part.label) // 10)
    return part.images[:n], part.label[:n], (part.images[n:], part.label[n:])


def _calibration(raw: NDArray[np.float64], label: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Fit the probabilities on the first half; thresholds and sets on the second."""
    half = len(label) // 2
    log = np.log(np.fmax(raw, 1e-12))
    scale, bias = fit_multiclass(log[:half], label[:half])
    p, truth = calibrated(log[half:], scale, bias), label[half:]
    own = p[np.arange(len(truth)), truth]
    return {
        "calibration": np.array([scale, *bias]),
        "thresholds": np.array([_threshold(p, truth, 0), _threshold(p, truth, 2)]),
        "conformal": np.array([set_threshold(own, _COVERAGE)]),
    }


def _threshold(p: NDArray[np.float64], truth: NDArray[np.int64], which: int) -> float:
    """Return the least threshold whose class has the purity wanted; the highest where none has."""
    column, wanted = (0, _PURITY[0]) if which == 0 else (2, _PURITY[1])
    for least in _GRID:
        pair = (float(least), 2.0) if which == 0 else (2.0, float(least))
        if purity_table(gamornet.classify(p, *pair), truth)[column] >= wanted:
            return float(least)
    return float(_GRID[-1])


def _novelty(
    hidden: NDArray[np.float32], label: NDArray[np.int64], reference: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    both = np.concatenate([hidden, reference])
    target = np.concatenate([label, np.zeros(len(reference), dtype=np.int64)])
    first = np.arange(len(both)) < len(hidden)
    columns = np.arange(hidden.shape[1], dtype=np.int64)
    return fit_novelty(both, target, columns, first, ~first).to_arrays()


def _card(
    recipe: Recipe,
    variant: str,
    training: Mapping[str, Plain],
    table: ScoreTable,
    architecture: Mapping[str, str],
) -> Card:
    config = gamornet.Config(form=recipe.form)
    (image,) = gamornet.tensors(config)
    kind = survey(measured.SURVEY_OF[recipe.form])
    return Card(
        name=gamornet.NAME,
        variant=variant,
        title=gamornet.TITLE,
        question=gamornet.QUESTION,
        source="ads:2020ApJ...895..112G (GaMorNet); departures: see the module",
        intended_use="Sort galaxies of one source per cutout into disk- and bulge-dominated ones; teach transfer.",
        limits="SIMULATED galaxies only: bulge and disk, with arms, bars and dust drawn on. On real images, train "
        "again on labels of that survey. gm_p_sd is the spread of three networks that share their first layers "
        "and misses what all of them got wrong. Sets hold the true class in 90 % of like galaxies.",
        licence="BSD-3-Clause",
        command=f"python -m skyloom.training.gamornet --output DIR --seed {training['seed']}",
        evaluate=f"skyloom model evaluate {gamornet.NAME}",
        training=training,
        flags={flag.name: flag.description for flag in gamornet.FLAGS},
        reads=tuple(column.name for column in gamornet.reads(config)),
        writes=tuple(column.name for column in gamornet.writes(config)),
        scores=table.scores,
        reliability=table.reliability,
        inputs=(Input(image.name, image.shape, image.unit, image.bands, image.pixel_arcsec, NORMALISATION),),
        architecture=architecture,
        tolerance={column.name: gamornet.TOLERANCE[column.name] for column in gamornet.writes(config)},
        domain=Domain(
            survey=f"none: galsim, with the pixels, PSF and noise of {kind.name} "
            "as skyloom.simulators.surveys has them",
            bands=(kind.band,),
            depth=f"AB magnitudes {kind.magnitude[0]:g} to {kind.magnitude[1]:g}, drawn uniformly",
            cadence="single epoch",
            selection="bulge and disk with L_B/L_T drawn uniformly; cutouts that the system flags are left out",
            simulated=True,
        ),
        priors=table.priors,
        out_of_scope="Images of real surveys without training again; mergers, irregular galaxies and lenses; "
        "galaxies larger than the cutout; counts of a class in a population, since the shares of classes in the "
        "sky are not those of training; any single galaxy on which much depends.",
        subgroups=table.subgroups,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train and write a bundle; return 0, or 2 where the request is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.training.gamornet", description=__doc__)
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the bundle; its name is the variant's"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--transfer", choices=sorted(RECIPES), default=Recipe().transfer)
    for name in ("n_simulated", "n_labels", "n_calibration", "n_held_out"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Recipe(), name))
    for name in ("epochs", "transfer_epochs", "scratch_epochs"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Recipe(), name))
    options = vars(parser.parse_args(argv))
    output, seed = options.pop("output"), options.pop("seed")
    try:
        card = train(output, seed=seed, variant=output.name, recipe=Recipe(**options))
    except SkyloomError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for score in card.scores:
        sys.stdout.write(f"{score.metric:42s} {score.who:58s} {score.value:8.4f}\n")
    sys.stdout.write(f"{card.training['cpu_s']} CPU seconds of simulation and training\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
