"""Every line of the fault matrix is clean."""

from __future__ import annotations

import pytest

from tests.faults.checking import Checked, Expected, check_layer, reader_of
from tests.faults.matrix import ROWS, line, run_row
from tests.faults.tally import Tally


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if row.quick else pytest.mark.slow) for name, row in ROWS.items()]
)
def test_a_fault_is_survived_and_no_row_is_amiss(name):
    tally, wall_s = run_row(name)
    if tally.skipped:
        pytest.skip(tally.skipped)
    assert tally.ok, line(name, tally, wall_s)


def test_every_row_of_the_matrix_has_a_function():
    from importlib import import_module

    for row in ROWS.values():
        module, _, function = row.function.partition(":")
        assert callable(getattr(import_module(f"tests.faults.{module}"), function))


@pytest.mark.parametrize(
    "amiss", [{"lost": 1}, {"duplicated": 1}, {"torn": 1}, {"wrong": 1}, {"survived": 1}, {"rows_out": 3}]
)
def test_anything_amiss_fails_a_line(amiss):
    whole = {"injected": 2, "survived": 2, "rows_in": 4, "rows_out": 4}
    assert Tally(**whole).ok
    assert not Tally(**{**whole, **amiss}).ok
    assert not Tally().ok, "nothing was injected"


class TestCheck:
    """The check finds what it is there to find."""

    @pytest.fixture
    def layer(self, tmp_path):
        from skyloom.storage import LocalStore
        from tests.engine import toy
        from tests.engine.finished import finish

        finish(toy.plan(2, faulty=[1]), LocalStore(tmp_path))
        return tmp_path

    def found(self, layer, ids=range(20), causes=None):
        causes = {13: "raised"} if causes is None else causes
        return check_layer(reader_of(layer), Expected(ids, lambda i: 2.0 * i, causes), root=layer)

    def test_a_row_that_should_be_null_and_is_not_is_wrong(self, layer):
        assert self.found(layer).wrong == 1
        assert self.found(layer, causes={}).wrong == 1

    def test_lost_and_duplicated_rows_are_counted(self, layer):
        found = self.found(layer, ids=range(21))
        assert (found.rows_in, found.rows_out, found.lost, found.duplicated) == (21, 20, 1, 0)
        assert self.found(layer, ids=range(19)).duplicated == 1

    def test_rows_out_of_order_are_wrong(self, layer):
        assert self.found(layer, ids=[*range(1, 20), 0]).wrong == 2

    def test_a_flipped_bit_and_a_stray_file_are_torn(self, layer):
        (path, other) = sorted(layer.rglob("dataset/**/*.parquet"))
        (path.parent / "Npix=7.parquet").write_bytes(other.read_bytes())
        data = path.read_bytes()
        path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
        assert self.found(layer).torn == 2

    def test_a_changed_reference_is_torn(self, layer):
        (path,) = layer.rglob("refs/v00000001.json")
        path.write_text(path.read_text().replace("sha256:", "sha256:0", 1))
        assert self.found(layer).torn == 1

    def test_nothing_is_amiss_in_what_was_not_looked_at(self):
        assert Checked() == Checked(0, 0, 0, 0, 0, 0, "")
