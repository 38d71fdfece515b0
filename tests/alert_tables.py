"""Made-up ZTF alerts: a point source on noise in three stamps, and the packets' columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

BANDS = ("science", "template", "difference")
KINDS = ("RRLyr", "QSO", None)
"""Type in SIMBAD of the three classes; the third is known by ``ssdistnr``."""


def stamps(n, seed=0):
    """Stamps (n, 3, 63, 63): star, nucleus and asteroid in turn; asteroids have no source in the template."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:63, :63] - 31.0
    kind = np.arange(n) % 3
    width = np.where(kind == 1, 4.0, 1.3)[:, None, None]
    source = np.exp(-(x**2 + y**2) / (2.0 * width**2))
    brightness = rng.uniform(80, 400, n)[:, None, None]
    template = brightness * source * (kind != 2)[:, None, None]
    change = brightness * np.exp(-(x**2 + y**2) / (2.0 * 1.3**2)) * np.where(kind == 0, -0.5, 0.5)[:, None, None]
    level = rng.uniform(100, 900, n)[:, None, None]
    noise = rng.normal(0, 5, (n, 3, 63, 63))
    made = np.stack([level + template + change, level + template, change], axis=1) + noise
    return made.astype(np.float32)


def alerts(n, seed=0, **columns):
    """A table of n alerts of n objects, as `skyloom.evaluation.alerts.read_alerts` gives it."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    made = stamps(n, seed)
    said = {
        "candid": np.arange(n) + 10_000,
        "objectId": [f"ZTF{k:05d}" for k in range(n)],
        "source": [f"somewhere:file-{k % 2}.parquet" for k in range(n)],
        "jd": 2_459_000.5 + np.arange(n),
        "isdiffpos": np.where(kind == 0, "f", "t").tolist(),
        "cdsxmatch": [KINDS[k] for k in kind],
        "tns": pa.nulls(n, pa.string()),
        "gaiaClass": pa.nulls(n, pa.string()),
        "vsx": pa.nulls(n, pa.string()),
        "ssdistnr": np.where(kind == 2, 1.0, -999.0),
        "sgscore1": np.where(kind == 0, 0.95, np.where(kind == 1, 0.1, -999.0)),
        "distpsnr1": np.where(kind == 2, -999.0, rng.uniform(0, 1, n)),
        "drb": rng.uniform(0.7, 1.0, n),
        **{name: rng.normal(18, 1, n) for name in ("magpsf", "fwhm", "elong", "classtar", "distnr", "magnr")},
        "ndethist": np.where(kind == 2, 1, 50),
        "ncovhist": np.full(n, 500),
        **{
            f"stamp_{band}": pa.FixedSizeListArray.from_arrays(pa.array(made[:, b].reshape(-1)), 63 * 63)
            for b, band in enumerate(BANDS)
        },
        **columns,
    }
    return pa.table(said)
