import numpy as np
import pyarrow as pa
import pytest

from skyloom.errors import SpecError
from skyloom.models import galaxy_morphology
from skyloom.runtime.contract import Weights
from skyloom.runtime.scoring import score
from skyloom.runtime.tensors import tensor_column

MASK = {flag.name: flag.mask for flag in galaxy_morphology.FLAGS}


def rows():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 31.5
    radius = rng.uniform(2, 6, 5)[:, None, None]
    images = (3e3 * np.exp(-np.hypot(x, y) / radius) + rng.normal(0, 20, (5, 64, 64))).astype(np.float32)
    images[3] = 0.0
    valid = np.array([True, False, True, True, True])
    coverage = pa.array(np.array([1, 0, 0.5, 1, 1], dtype=np.float32))
    return pa.RecordBatch.from_arrays(
        [tensor_column(images[:, None], valid), coverage], names=["cutout", "cutout_coverage"]
    )


def scored(config, batch, batch_rows=64):
    return score(galaxy_morphology, config, config, batch, layer="morph", batch_rows=batch_rows)[0]


def test_what_cannot_be_measured_is_null_and_says_why():
    out = scored(galaxy_morphology.Config(), rows())
    expected = [0, MASK["NO_CUTOUT"], MASK["LOW_COVERAGE"], MASK["NO_SOURCE"], 0]
    assert out["morph_flag"].to_pylist() == expected
    assert out["morph_gini"].is_valid().to_pylist() == [True, False, False, False, True]


def test_a_row_has_the_same_bits_in_any_batch():
    whole = scored(galaxy_morphology.Config(), rows())
    assert all(scored(galaxy_morphology.Config(), rows(), size).equals(whole) for size in (1, 2, 5))


def test_statmorphs_columns_come_on_demand_with_its_quality():
    pytest.importorskip("statmorph")
    config = galaxy_morphology.Config(statmorph=True)
    out = scored(config, rows())
    assert [f.name for f in out.schema][:-1] == [c.name for c in galaxy_morphology.writes(config)]
    assert out["statmorph_quality"].to_pylist()[0] in {0, 1}
    assert out["statmorph_sersic_n"].to_pylist()[0] == pytest.approx(1.0, abs=0.2)


def test_nonsense_is_refused():
    for settings in ({"size": 3}, {"min_coverage": 2.0}):
        with pytest.raises(SpecError):
            galaxy_morphology.Config(**settings)
    with pytest.raises(SpecError):
        galaxy_morphology.build(galaxy_morphology.Config(), Weights({}, {}, ""))


def test_no_rows_and_rows_of_nulls_are_taken():
    config, batch = galaxy_morphology.Config(), rows()
    assert scored(config, batch.slice(0, 0)).num_rows == 0
    nulls = pa.RecordBatch.from_arrays([pa.nulls(2, field.type) for field in batch.schema], schema=batch.schema)
    assert scored(config, nulls)["morph_flag"].to_pylist() == [MASK["NO_CUTOUT"]] * 2
