"""Model systems: one module each, rows in, columns out. `registry` lists them."""
