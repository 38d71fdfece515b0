"""Rows of a catalog to the arrays that vraenn predicts from, and the flags of those that it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.models.transient_columns import measured
from skyloom.models.vraenn.columns import (
    FEW_POINTS,
    NO_EXTINCTION,
    NO_REDSHIFT,
    NOT_DETECTED,
    THINNED,
    Config,
)
from skyloom.runtime.contract import Inputs
from skyloom.timeseries.cleaning import by_band
from skyloom.timeseries.lightcurves import LightCurveFlag, LightCurves

if TYPE_CHECKING:
    from skyloom.models.vraenn.curves import Transients

__all__ = ["SEQUENCE", "inputs_of"]

SEQUENCE = ("light", "light_sd", "steps", "limit")
"""Arrays that the network reads: see `skyloom.models.vraenn.curves.Sequences`."""

_AT_CUTS = (*SEQUENCE, "there", "peak")


def inputs_of(rows: pa.RecordBatch, config: Config) -> Inputs:
    """Cut, fit and put on the grid; leave out and flag the rows that cannot be scored.

    Returns
    -------
    Inputs
        Arrays of M scorable rows, each at C cuts (`Config.cuts_d`, the last one is the whole light curve):
        `SEQUENCE`, ``there`` and ``peak``, shape (M, C, ...); and of the whole one ``rise_d`` (M,) and ``fitted``
        (M, 3).

    Raises
    ------
    DataError
        If the light curves are none.
    """
    from skyloom.models.vraenn.curves import sequences, transients

    curves, flag = by_band(LightCurves.from_arrow(rows.column("lc"), config.bands))
    redshift, mwebv = (measured(rows, name) for name in ("hostgal_photoz", "mwebv"))
    empty = (flag & np.uint32(LightCurveFlag.LC_EMPTY)) != 0
    near = ~(redshift > 0.0)
    flag[~empty & near] |= np.uint32(NO_REDSHIFT.mask)
    flag[~empty & ~np.isfinite(mwebv)] |= np.uint32(NO_EXTINCTION.mask)
    usable = ~empty & ~near
    points = transients(curves, np.where(usable, redshift, 1.0), np.nan_to_num(mwebv), config)
    unseen = usable & ~np.isfinite(points.detected)
    flag[unseen] |= np.uint32(NOT_DETECTED.mask)
    usable &= ~unseen
    points = _part(points, usable)
    cuts = [sequences(points, config, cut_d) for cut_d in config.cuts_d]
    whole = cuts[-1]
    of_usable = flag[usable]
    of_usable[~whole.there] |= np.uint32(FEW_POINTS.mask)
    of_usable[whole.there & whole.thinned] |= np.uint32(THINNED.mask)
    flag[usable] = of_usable
    scorable = usable.copy()
    scorable[usable] = whole.there
    arrays = {name: np.stack([getattr(cut, name)[whole.there] for cut in cuts], axis=1) for name in _AT_CUTS}
    arrays |= {name: getattr(whole, name)[whole.there] for name in ("rise_d", "fitted")}
    return Inputs(arrays, flag, scorable)


def _part(rows: Transients, kept: NDArray[np.bool_]) -> Transients:
    """Return the rows where `kept` is true."""
    count = np.diff(rows.offsets)
    points = np.repeat(kept, count)
    return replace(
        rows,
        offsets=np.concatenate(([0], np.cumsum(count[kept]))),
        **{name: getattr(rows, name)[points] for name in ("mjd", "flux", "error", "wave")},
        detected=rows.detected[kept],
        redshift=rows.redshift[kept],
    )
