"""The criteria of a job: the model's own and those of the job file, bound to columns that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from skyloom.catalog import Catalog
from skyloom.columns import ANY_UNIT, Column
from skyloom.engine import Record
from skyloom.errors import ErrorKind, SpecError
from skyloom.jobs.layers import Layer
from skyloom.jobs.models import LoadedModel
from skyloom.jobs.sources import Source, known_columns, missing
from skyloom.models.eligibility import Eligibility, Step, added, funnel
from skyloom.runtime.contract import Flag

__all__ = ["Criteria", "criteria_of", "funnel_of"]


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a row must meet before a model is asked about it."""

    eligibility: Eligibility
    order: tuple[str, ...]
    """The criteria in the order in which they were said, the model's own first."""
    sources: tuple[Source, ...]
    """Where their columns come from."""
    flags: tuple[Flag, ...]

    def identity(self) -> dict[str, Any]:
        """Return what may change a value: the order is not among it."""
        columns = {s.read.name: [s.layer, s.found.name] for s in self.sources}
        return {"criteria": list(self.eligibility.texts), "columns": columns}

    def settings(self) -> dict[str, Any]:
        """Return what a worker needs to know, as JSON."""
        columns = [[s.read.name, s.layer, s.found.name] for s in self.sources]
        return {"criteria": list(self.eligibility.texts), "columns": columns}

    def counted(self, records: Sequence[Record]) -> dict[str, Any]:
        """Return what a layer's provenance says of its criteria: a function of the records."""
        return {"criteria": list(self.eligibility.texts), "counts": added(record.counts for record in records)}


def criteria_of(
    texts: Sequence[str],
    model: LoadedModel,
    catalog: Catalog,
    layers: Sequence[Layer],
    columns: Mapping[str, str],
) -> Criteria | None:
    """Bind the criteria of a model and of a job; None where there are none.

    Parameters
    ----------
    texts : sequence of str
        Of the job.
    model : LoadedModel
        Its own criteria (`System.eligibility`) come first.
    catalog : Catalog
    layers : sequence of Layer
        Searched after the catalog, in order.
    columns : mapping
        Names in the catalog, where criteria call them otherwise: as for the columns that the model reads.

    Raises
    ------
    SpecError
        If a criterion cannot be parsed, a column is missing, a type does not fit, or there are too many.
    """
    said = (*model.eligibility, *texts)
    eligibility = Eligibility.of(said)
    if not eligibility:
        return None
    known = known_columns(catalog, layers)
    sources, troubles = [], []
    for name in eligibility.columns:
        read, found = Column(name, ANY_UNIT), columns.get(name, name)
        if found in known:
            layer, column = known[found]
            sources.append(Source(read, column, layer))
        else:
            troubles.append(missing(read, found, known, layers))
    if troubles:
        msg = f"eligibility cannot be judged over catalog {catalog.name}:\n" + "\n".join(
            f"  {t}" for t in troubles
        )
        raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN, catalog=catalog.name)
    eligibility.check({s.read.name: _type(s.found) for s in sources})
    order = tuple(dict.fromkeys(Eligibility.of([text]).texts[0] for text in said))
    return Criteria(eligibility, order, tuple(sources), eligibility.flags(model.system.FLAGS))


def _type(column: Column) -> pa.DataType:
    """Return the type in which a column reaches a criterion."""
    return pa.string() if column.dtype.startswith("dictionary<") else column.type


def funnel_of(provenance: Mapping[str, Any], order: Sequence[str] = ()) -> tuple[Step, ...]:
    """Return the funnel of a published layer, from its provenance; empty where it has no criteria.

    Parameters
    ----------
    order : sequence of str, optional
        The criteria in the order wanted; default: sorted.
    """
    said = provenance.get("eligibility")
    return funnel(said["criteria"], said["counts"], order) if said else ()
