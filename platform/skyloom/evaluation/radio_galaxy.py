"""How well FR I and FR II are told apart: networks of both forms, beside baselines and reported numbers.

All images are real. Held-out objects trained nothing, and calibrated nothing.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.calibration import expected_calibration_error, reliability
from skyloom.evaluation.labelled import LabelledSource
from skyloom.evaluation.radio import CLASSES, RADIO_SEED, RadioSet, radio_parts, read_radio, scorable_radio
from skyloom.evaluation.radio_transfer import accuracy, forest_of, transfer_scores
from skyloom.evaluation.scores import ScoreTable, area_under_roc, bootstrap, log_loss
from skyloom.evaluation.split import Parts
from skyloom.evaluation.subgroups import binned, subgroup_scores
from skyloom.features.radio_morphology import MORPHOLOGY, radio_morphology
from skyloom.models import radio_galaxy
from skyloom.models.card import Card, Score, Subgroup
from skyloom.models.conformal import prediction_sets
from skyloom.models.probabilities import softmax, tempered
from skyloom.models.radio_galaxy.outputs import mean_logits
from skyloom.models.weights import load_weights, variants
from skyloom.runtime.contract import System, Weights

__all__ = ["REPORTED", "baseline_scores", "ensemble_scores", "evaluate", "largest_change", "measure"]

REPORTED = (
    Score("accuracy", "reported, recalled: D16 equivariant network, Scaife & Porter 2021", 0.966),
    Score("accuracy", "reported, recalled: plain LeNet, Scaife & Porter 2021", 0.940),
)
"""ads:2021MNRAS.503.2369S, quoted from memory; on MiraBest's own test batch: another split than ours."""

_FRII = 1
_PIXEL_ARCSEC = 1.8
_SIZES = (50.0, 100.0, 150.0)


def ensemble_scores(
    who: str,
    p: NDArray[np.floating],
    members: NDArray[np.floating],
    target: NDArray[np.integer],
    radius_px: NDArray[np.floating],
) -> tuple[Score, ...]:
    """Return the scores of calibrated probabilities on held-out objects.

    Parameters
    ----------
    who : str
        Whose they are.
    p : ndarray, shape (N, 2)
        Of the ensemble, FR I first.
    members : ndarray, shape (E, N, 2)
        Of each member: seeds of one architecture.
    target : ndarray of integers, shape (N,)
    radius_px : ndarray, shape (N,)
        Size of each source, for the scores of small and of large ones.

    Returns
    -------
    tuple of Score
        Errors are from a bootstrap over objects; that of the mean member's accuracy is the
        standard deviation over the members, NaN where there is one.

    Raises
    ------
    SpecError
        If the shapes do not fit each other.
    """
    if p.shape != (len(target), 2) or members.shape[1:] != p.shape or radius_px.shape != target.shape:
        shapes = f"probabilities {p.shape}, members {members.shape}, sizes {radius_px.shape}"
        msg = f"{shapes}: not of {len(target)} objects"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    each = np.array([accuracy(member, target) for member in members])
    spread = float(each.std(ddof=1)) if len(each) > 1 else float("nan")
    small = radius_px <= np.median(radius_px)
    return (
        *_scores(who, p, target),
        Score(f"accuracy of one member, mean of {len(each)} seeds", who, float(each.mean()), spread),
        *(
            Score(f"accuracy, {words}", who, accuracy(p[of], target[of]), bootstrap(accuracy, p[of], target[of]))
            for words, of in (("smaller half", small), ("larger half", ~small))
            if of.any()
        ),
    )


def baseline_scores(data: RadioSet, parts: Parts) -> tuple[Score, ...]:
    """Return scores, on the held-out objects, of a random forest on morphology and of the class prior.

    Both are fixed by the split.
    """
    target = data.target[parts.held_out]
    share = np.bincount(data.target[parts.train], minlength=2) / parts.train.sum()
    p = forest_of(data, parts.train).predict_proba(radio_morphology(data.images[parts.held_out, 0]))
    return (
        *_scores(f"baseline: random forest on {len(MORPHOLOGY)} morphology features", p, target),
        *_scores("baseline: class prior", np.tile(share, (len(target), 1)), target),
    )


def evaluate(
    estimator: radio_galaxy.Estimator,
    weights: Weights,
    *,
    form: str,
    variant: str,
    folder: Path | None = None,
    seed: int = RADIO_SEED,
) -> ScoreTable:
    """Score the networks of one form on held-out objects of MiraBest, and on FR-DEEP.

    Parameters
    ----------
    estimator : Estimator
    weights : Weights
        Of the bundle: it has the networks that `skyloom.evaluation.radio_transfer` tests.
    form, variant : str
    folder : path, optional
        As `skyloom.evaluation.radio.read_radio` has it.
    seed : int
        Of the split that the networks were trained with.

    Returns
    -------
    ScoreTable
        Errors are from a bootstrap over the objects.
    """
    data = scorable_radio(read_radio("mirabest", folder))
    parts = radio_parts(data, seed=seed)
    test = parts.held_out
    ours, p = _of_networks(estimator, form, data.images[test], data.target[test])
    share = np.bincount(data.target[parts.train], minlength=len(CLASSES)) / parts.train.sum()
    return ScoreTable(
        system=radio_galaxy.NAME,
        variant=variant,
        n=int(test.sum()),
        scores=(
            *ours,
            *transfer_scores(estimator, weights, form, data, folder),
            *baseline_scores(data, parts),
            *REPORTED,
        ),
        reliability=reliability(p[:, _FRII], data.target[test] == _FRII, what="FR II"),
        note="MiraBest: real FIRST images, split by us (the published test batch is another). FR-DEEP: sources "
        "that trained none of the networks tested; MiraBest's networks see no source of MiraBest there.",
        subgroups=_subgroups(p, data.images[test], data.target[test]),
        priors={name: float(part) for name, part in zip(CLASSES, share, strict=True)},
    )


def _subgroups(
    p: NDArray[np.float64], images: NDArray[np.float32], target: NDArray[np.int64]
) -> tuple[Subgroup, ...]:
    """Score by class, and by the size of a source."""
    size = 2.0 * _PIXEL_ARCSEC * _radius(images)
    parts = (
        ("class", np.array(CLASSES)[target]),
        ("diameter of 90 % of the light", binned(size, _SIZES, "arcsec")),
    )
    return tuple(
        score
        for by, group in parts
        for score in subgroup_scores("accuracy", accuracy, (p, target), by=by, group=group)
    )


def measure(
    system: System, card: Card, weights: Weights, data: pa.Table | LabelledSource | Path | None
) -> ScoreTable:
    """Score stored networks, beside those of the other form where they are shipped.

    Raises
    ------
    SpecError
        If `data` is no folder: published files are read.
    NotFoundError
        If the files are not there; the message says where they come from.
    """
    if data is not None and not isinstance(data, Path):
        msg = f"{radio_galaxy.NAME} is measured on published files: give the folder of mirabest/ and frdeep/"
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
    form = str(card.training["form"])
    own = _stored(card, weights, data)
    twin = "plain" if form == "equivariant" else "equivariant"
    if twin not in variants(radio_galaxy.NAME):
        return own
    other = _stored(*load_weights(radio_galaxy.NAME, twin), data)
    ours, beside = ([score for score in table.scores if score.who.startswith("ours")] for table in (own, other))
    rest = [score for score in own.scores if not score.who.startswith("ours")]
    return dataclasses.replace(own, scores=(*ours, *beside, *rest))


def _stored(card: Card, weights: Weights, folder: Path | None) -> ScoreTable:
    form = str(card.training["form"])
    estimator = radio_galaxy.build(radio_galaxy.Config(form=form), weights)
    seed = int(card.training["split_seed"])
    return evaluate(estimator, weights, form=form, variant=card.variant, folder=folder, seed=seed)


def _of_networks(
    estimator: radio_galaxy.Estimator, form: str, images: NDArray[np.float32], target: NDArray[np.int64]
) -> tuple[tuple[Score, ...], NDArray[np.float64]]:
    """Return the scores of the ensemble and its members, and calibrated probabilities (M, 2)."""
    who = f"ours, {form}"
    logits = estimator.network(image=images)["logits"].astype(np.float64)
    mean = mean_logits(logits)[:, 0]
    p = tempered(mean, estimator.temperature)
    members = tempered(logits[:, 0], estimator.temperature).transpose(1, 0, 2)
    frii, right = softmax(mean)[:, _FRII], target == _FRII
    inside = prediction_sets(p, estimator.conformal)
    held = inside[np.arange(len(target)), target]
    both = np.asarray(inside.all(axis=1))
    ece = expected_calibration_error
    return (
        *ensemble_scores(who, p, members, target, _radius(images)),
        Score(
            "calibration error, before calibration", who, ece(frii, right), bootstrap(ece, frii, right), "lower"
        ),
        Score("sets that hold the true class (wanted: 0.9)", who, float(held.mean()), bootstrap(np.mean, held)),
        Score("sets of both classes", who, float(both.mean()), bootstrap(np.mean, both), "lower"),
        Score("largest change of fr_p2, 8 symmetries", who, largest_change(estimator, images), better="lower"),
    ), p


def _radius(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the radius, px, of 90 % of the light: specks of noise far from a source hardly change it."""
    return radio_morphology(images[:, 0])[:, MORPHOLOGY.index("radius_90")]


def largest_change(estimator: radio_galaxy.Estimator, images: NDArray[np.float32]) -> float:
    """Return the largest change of ``fr_p2`` when images (M, 1, H, H) are turned and mirrored in all 8 ways."""
    import torch

    from skyloom.nn.dihedral import transform

    given = torch.from_numpy(images.copy())
    moved = [radio_galaxy.predict(estimator, {"image": transform(given, g).numpy()})["fr_p2"] for g in range(8)]
    return float(np.abs(np.stack(moved) - moved[0]).max())


def _scores(who: str, p: NDArray[np.floating], target: NDArray[np.integer]) -> tuple[Score, ...]:
    frii = p[:, _FRII]
    right = target == _FRII
    return (
        Score("accuracy", who, accuracy(p, target), bootstrap(accuracy, p, target)),
        Score("AUC", who, area_under_roc(frii, right), bootstrap(area_under_roc, frii, right)),
        Score("log-loss", who, log_loss(p, target), bootstrap(log_loss, p, target), "lower"),
        Score(
            "calibration error",
            who,
            expected_calibration_error(frii, right),
            bootstrap(expected_calibration_error, frii, right),
            "lower",
        ),
    )
