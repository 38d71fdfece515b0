"""Active learning: what people say about objects, kept as provenance, and what to look at next.

Labels lie beside a layer as an append-only record (`LabelStore`); `rerank` orders objects with
the labels there are so far; `rank` does so for a whole layer, partition by partition.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyloom.active.labels import LabelStore
    from skyloom.active.ranked import Ranking
    from skyloom.active.ranking import RankRequest, rank
    from skyloom.active.records import Label
    from skyloom.active.reranking import rerank

__all__ = ["Label", "LabelStore", "RankRequest", "Ranking", "rank", "rerank"]

_HOME = {
    "Label": "records",
    "LabelStore": "labels",
    "RankRequest": "ranking",
    "Ranking": "ranked",
    "rank": "ranking",
    "rerank": "reranking",
}


def __getattr__(name: str) -> Any:
    # Resolved when used: `skyloom label` needs no forest.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
