"""What the words of a job stand for, once each is found; and what of it makes the job this one and no other."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from skyloom.catalog import Catalog
from skyloom.columns import Column
from skyloom.jobs.eligibility import Criteria
from skyloom.jobs.layers import Layer
from skyloom.jobs.models import LoadedModel
from skyloom.jobs.numerics import Numerics
from skyloom.jobs.sources import Source
from skyloom.jobs.spec import JobSpec
from skyloom.jobs.tensors import TensorSource

__all__ = ["Bound"]

VERSIONED = ("numpy", "pyarrow")
"""Libraries whose version may change a value of any model, or a byte of a file."""


@dataclass(frozen=True)
class Bound:
    """A job and what it names."""

    job: JobSpec
    catalog: Catalog
    layers: Sequence[Layer]
    model: LoadedModel
    sources: Sequence[Source]
    tensors: Sequence[TensorSource] = ()
    numerics: Numerics | None = None
    criteria: Criteria | None = None

    def identity(self, schema: pa.Schema) -> dict[str, Any]:
        """Return all that may change a value of a layer of this schema; not workers, batch sizes or paths."""
        model = self.model
        return {
            "protocol": 2,
            "catalog": {"snapshot": self.catalog.snapshot()},
            "layers": {layer.name: layer.published.manifest.columns for layer in self.layers},
            "columns": {s.read.name: [s.layer, s.found.name, s.found.unit] for s in self.sources},
            "model": {
                "name": model.name,
                "weights": model.variant,
                "weights_digest": model.digest,
                "settings": model.settings,
                "code": model.code,
            },
            "on_bad_row": self.job.on_bad_row,
            "output": [[f.name, str(f.type), Column.of_field(f).unit] for f in schema],
            "versions": {
                name: importlib.metadata.version(name)
                for name in sorted({*VERSIONED, *getattr(model.system, "LIBRARIES", ())})
            },
            **({"tensors": {s.read.name: [s.digest, s.unit] for s in self.tensors}} if self.tensors else {}),
            **({"numerics": self.numerics.identity()} if self.numerics else {}),
            **({"eligibility": self.criteria.identity()} if self.criteria else {}),
        }

    def settings(self, repeated: Sequence[str], row_keys: Sequence[str]) -> dict[str, Any]:
        """Return what a worker needs to know, as JSON.

        Parameters
        ----------
        repeated, row_keys : sequence of str
            Columns of the catalog that the layer repeats, and those that say which row a row is.
        """
        return {
            "layer": self.job.layer,
            "model": self.job.model,
            "weights": self.model.place,
            "model_settings": self.job.model_settings,
            "model_made_of": self.model.made_of,
            "batch_rows": self.job.run.batch_rows,
            "root": self.catalog.root,
            "repeated": list(repeated),
            "row_keys": list(row_keys),
            "layers": {layer.name: layer.path for layer in self.layers},
            "sources": [[s.read.name, s.layer, s.found.name, s.found.unit] for s in self.sources],
            "tensors": [[s.read.name, s.store.location, s.unit] for s in self.tensors],
            "numerics": self.numerics.identity() if self.numerics else None,
            "eligibility": self.criteria.settings() if self.criteria else None,
        }
