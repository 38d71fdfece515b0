"""How networks of one radio survey do in another: FIRST at 5 arcsec, NVSS at 45, on sources of FR-DEEP.

No source is tested that trained the network, in either survey (`skyloom.evaluation.radio_overlap`).
Three small networks are stored for this alone, in half precision; no job reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.evaluation.radio import RadioSet, read_radio, scorable_radio
from skyloom.evaluation.radio_overlap import same_images, sky_names, survey_parts
from skyloom.evaluation.scores import area_under_roc, bootstrap
from skyloom.features.radio_morphology import radio_morphology
from skyloom.models import radio_galaxy
from skyloom.models.card import Score
from skyloom.models.probabilities import softmax
from skyloom.runtime.contract import Weights

__all__ = ["TRANSFERS", "accuracy", "forest_of", "stored_transfers", "transfer_scores"]

TRANSFERS = {
    "first": "one network, trained on FIRST",
    "nvss": "one network, trained on NVSS",
    "first-nvss": "one network, trained on FIRST, then on NVSS",
}
"""Networks stored beside the members, and what they learnt from."""

_FRII = 1
_UNLIKE = 0.05


def accuracy(p: NDArray[np.floating], target: NDArray[np.integer]) -> float:
    """Return the share of rows whose more probable class is the true one; `p` has shape (N, 2)."""
    return float((p.argmax(axis=1) == target).mean())


def forest_of(data: RadioSet, learn: NDArray[np.bool_]) -> Any:
    """Return a random forest (300 trees) on the 12 numbers of `skyloom.features.radio_morphology`."""
    from sklearn.ensemble import RandomForestClassifier

    # One thread: with more, the order in which trees are added is not fixed.
    forest = RandomForestClassifier(300, random_state=0, n_jobs=1)
    return forest.fit(radio_morphology(data.images[learn, 0]), data.target[learn])


def stored_transfers(nets: Mapping[str, Any]) -> dict[str, NDArray[np.float16]]:
    """Return networks under the names of `TRANSFERS` as arrays of a bundle, in half precision."""
    from skyloom.runtime.networks import state_arrays

    return {
        key: values.astype(np.float16)
        for name in TRANSFERS
        for key, values in state_arrays(nets[name], f"frdeep.{name}.").items()
    }


def transfer_scores(
    estimator: radio_galaxy.Estimator, weights: Weights, form: str, mirabest: RadioSet, folder: Path | None
) -> tuple[Score, ...]:
    """Return accuracy and AUC on FIRST and on NVSS of the members, the stored networks and a forest.

    Parameters
    ----------
    estimator : Estimator
        Trained on MiraBest, which is FIRST.
    weights : Weights
        Of the bundle: it has the networks of `TRANSFERS`, too.
    form : str
    mirabest : RadioSet
        Its sources are left out where the members are tested.
    folder : path, optional
        As `read_radio` has it.
    """
    first, nvss = (scorable_radio(read_radio(f"frdeep-{name}", folder)) for name in ("first", "nvss"))
    of_first, of_nvss = survey_parts(first, nvss)
    unseen = ~same_images(first.images, mirabest.images)
    names = set(sky_names(first.objects[unseen]).tolist()) - set(sky_names(first.objects[~unseen]).tolist())
    # Of a source without an image in FIRST nobody can say whether MiraBest has it.
    known = np.isin(sky_names(nvss.objects), sorted(names))
    tests = {"FIRST": (first, ~of_first.train, unseen), "NVSS": (nvss, ~of_nvss.train, known)}
    forest = forest_of(first, of_first.train)
    scores: list[Score] = []
    for survey, (data, apart, new) in tests.items():
        out = radio_galaxy.predict(estimator, {"image": data.images[new]})
        who = f"ours, {form}, trained on MiraBest (FIRST)"
        scores += _scores(survey, who, np.stack([out["fr_p1"], out["fr_p2"]], axis=1), data.target[new])
        unlike = out["fr_ood"] < _UNLIKE
        better = "lower" if survey == "FIRST" else "higher"  # of images like those learnt from, and of others
        share = float(unlike.mean())
        scores.append(
            Score(f"share with fr_ood < {_UNLIKE}, {survey}", who, share, bootstrap(np.mean, unlike), better)
        )
        for name, words in TRANSFERS.items():
            p = _probabilities(weights, name, form, data.images[apart])
            scores += _scores(survey, f"ours, {form}, {words}", p, data.target[apart])
        p = forest.predict_proba(radio_morphology(data.images[apart, 0]))
        scores += _scores(survey, "baseline: random forest on morphology, of FIRST", p, data.target[apart])
        prior = np.bincount(first.target[of_first.train], minlength=2) / of_first.train.sum()
        p = np.tile(prior, (int(apart.sum()), 1))
        scores += _scores(survey, "baseline: class prior of FIRST", p, data.target[apart])
    return tuple(scores)


def _scores(survey: str, who: str, p: NDArray[np.floating], target: NDArray[np.int64]) -> list[Score]:
    right, frii = target == _FRII, p[:, _FRII]
    return [
        Score(f"accuracy, {survey} of FR-DEEP", who, accuracy(p, target), bootstrap(accuracy, p, target)),
        Score(
            f"AUC, {survey} of FR-DEEP", who, area_under_roc(frii, right), bootstrap(area_under_roc, frii, right)
        ),
    ]


def _probabilities(weights: Weights, name: str, form: str, images: NDArray[np.float32]) -> NDArray[np.float64]:
    from skyloom.models.radio_galaxy.network import make_lenet
    from skyloom.runtime.networks import Network, load_state

    net, prefix = make_lenet(radio_galaxy.shape_of(form)), f"frdeep.{name}."
    stored = {key: a.astype(np.float32) for key, a in weights.arrays.items() if key.startswith(prefix)}
    load_state(net, stored, prefix)
    return softmax(Network(net, tile_rows=radio_galaxy.TILE_ROWS)(image=images)["logits"].astype(np.float64))
