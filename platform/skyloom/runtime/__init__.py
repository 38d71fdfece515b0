"""What every model would otherwise repeat: batches, nulls, flags, checks, bad rows."""
