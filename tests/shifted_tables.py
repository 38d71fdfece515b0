"""A labelled survey and one without labels, as survey-shift reads them, made up from a seed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skyloom.models.survey_shift import Config


def shifted_table(n: int = 240, *, seed: int = 0) -> pa.Table:
    """Return `n` stars of each survey; the target is fainter, and its amplitudes are smaller by class."""
    rng = np.random.default_rng(seed)
    config = Config()
    parts = []
    for survey in ("source", "target"):
        kind = rng.integers(0, 4, n)
        is_target = survey == "target"
        centre = np.array([[0.1, -0.3, 17.5], [0.6, -0.4, 16.0], [-0.25, -0.2, 19.0], [2.2, 0.3, 15.5]])[kind]
        drawn = centre + rng.normal(0, 1, (n, 3)) * np.array([0.12, 0.1, 0.3])
        log_period, log_height, mean = drawn.T
        log_height = log_height - is_target * (0.1 + 0.05 * kind)
        mean = mean + 0.6 * is_target
        columns = {"vs_period": 10**log_period, "lcf_mean_b": mean + 0.4, "lcf_mean_r": mean}
        for offset, name in enumerate(("ipr_5", "std", "chi2")):
            for band in "br":
                noise = rng.normal(0, 0.05, n)
                columns[f"lcf_{name}_{band}"] = 10 ** (log_height - 0.3 * offset + 0.1 * (band == "b") + noise)
        parts.append(
            pa.table(
                {
                    "survey": [survey] * n,
                    "class": np.array(config.classes)[kind].tolist(),
                    "object_id": np.arange(n) + 10_000 * is_target,
                    **columns,
                }
            )
        )
    return pa.concat_tables(parts)
