"""Classes of periodic variable stars from their folded light curves (Zhang & Bloom 2021)."""
