"""Jobs over a small catalog."""

from __future__ import annotations

import pytest

from skyloom.jobs.spec import parse_job


@pytest.fixture
def job_of(tmp_path):
    """A maker of jobs: `job_of(catalog, model=..., layer=..., **sections) -> JobSpec`."""

    def make(catalog, *, model="lightcurve-features", layer="features", **sections):
        values = {"job": "test", "model": model, "layer": layer, "output": {"store": str(tmp_path / "layers")}}
        values.update(sections)
        values["input"] = {"catalog": str(catalog), **sections.get("input", {})}
        return parse_job(values, where="test")

    return make
