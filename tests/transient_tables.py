"""Simulated transients as a table like that of PLAsTiCC, for tests of systems that learn from it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skyloom.simulators.transients import BANDS, KINDS, transients

TARGETS = {"ia": 90, "ii": 42, "ibc": 62, "slsn": 95, "tde": 15, "kn": 64, "91bg": 67, "iax": 52}
"""PLAsTiCC's codes of the kinds that both have."""


def nested(curves) -> pa.StructArray:
    """Return light curves as the column `lc`."""
    offsets = pa.array(curves.offsets, pa.int32())
    band = pa.array(np.array(curves.bands)[curves.band]).dictionary_encode()
    fields = {
        "mjd": pa.array(curves.mjd),
        "flux": pa.array(curves.flux.astype(np.float32)),
        "flux_err": pa.array(curves.flux_err.astype(np.float32)),
        "band": band,
    }
    lists = [pa.ListArray.from_arrays(offsets, values) for values in fields.values()]
    return pa.StructArray.from_arrays(lists, names=list(fields))


def transient_table(n: int = 120, *, seed: int = 0, rare: float = 0.3) -> pa.Table:
    """Return rows as `skyloom.evaluation.plasticc.plasticc_rows` gives them, `rare` of them of rare classes."""
    common = dict.fromkeys(("ia", "ii", "ibc"), (1.0 - rare) / 3)
    share = {**common, **dict.fromkeys(("slsn", "tde", "kn", "91bg", "iax"), rare / 5)}
    drawn = transients(n, seed=seed, share=share)
    assert drawn.curves.bands == BANDS
    kinds = list(KINDS)
    return pa.table(
        {
            "object_id": pa.array(np.arange(1000, 1000 + n)),
            "target": pa.array([TARGETS[kinds[k]] for k in drawn.kind]),
            "hostgal_photoz": pa.array(drawn.redshift),
            "hostgal_photoz_err": pa.array(np.full(n, 0.02)),
            "mwebv": pa.array(drawn.mwebv),
            "lc": nested(drawn.curves),
        }
    )
