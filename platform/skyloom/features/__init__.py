"""Numbers that describe light curves, computed for whole batches at once."""
