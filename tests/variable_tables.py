"""A small table of simulated variable stars in the form of EROS-1's, for tests of what learns from it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skyloom.simulators.variables import BANDS, KINDS, variables

_CLASS = {"ec": "EB", "ed": "EB", "cep": "CEP", "rrab": "RRL", "rrc": "RRL", "lpv": "MIRA"}


def variable_table(n=400, *, seed=0, points=30):
    """Stars of the four classes among `n` simulated ones, a quarter of them test stars."""
    drawn = variables(n, seed=seed, points=points)
    names = np.array([*KINDS])[drawn.kind]
    curves = drawn.curves
    offsets = pa.array(curves.offsets, pa.int32())
    fields = {
        "mjd": pa.array(curves.mjd),
        "flux": pa.array(curves.flux.astype(np.float32)),
        "flux_err": pa.array(curves.flux_err.astype(np.float32)),
        "band": pa.array(np.array(BANDS)[curves.band]),
    }
    lists = [pa.ListArray.from_arrays(offsets, values) for values in fields.values()]
    table = pa.table(
        {
            "object_id": np.arange(n, dtype=np.int64),
            "kind": [_CLASS.get(name, "") for name in names],
            "period_d": drawn.true_d,
            "quality": np.ones(n),
            "is_test": np.arange(n) % 4 == 0,
            "lc": pa.StructArray.from_arrays(lists, names=list(fields)),
        }
    )
    return table.filter(pa.array([name in _CLASS for name in names]))
