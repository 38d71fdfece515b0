"""Resampling of spectra as one would write it down, to hold the fast one against."""

from __future__ import annotations

import numpy as np

from skyloom.spectra.grid import bin_edges


def slow_conserving(source, target, flux, ivar):
    """Loops over both grids: the mean over each target pixel of a flux that is constant in the source's pixels."""
    have, want = bin_edges(source), bin_edges(target)
    out, weight = np.full(len(target), np.nan), np.zeros(len(target))
    for i in range(len(target)):
        low, high = want[i], want[i + 1]
        if low < have[0] - 1e-9 * (high - low) or high > have[-1] + 1e-9 * (high - low):
            continue
        total = variance = covered = 0.0
        usable = True
        for j in range(len(source)):
            part = min(high, have[j + 1]) - max(low, have[j])
            if part <= 1e-9 * (high - low):
                continue
            total += part * flux[j]
            covered += part
            usable = usable and ivar[j] > 0 and np.isfinite(flux[j])
            variance += part**2 / ivar[j] if ivar[j] > 0 else 0.0
        out[i] = total / covered
        weight[i] = covered**2 / variance if usable else 0.0
    return out, weight
