"""What is exported computes the model's own columns, says what it is, and is never opened by a run."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skyloom.cli import main
from skyloom.columns import Column
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from skyloom.evaluation import export_formats
from skyloom.evaluation.export import Subject, export, export_networks
from skyloom.evaluation.export_formats import METADATA
from skyloom.models.card import Card, Input
from skyloom.models.weights import read_bundle, write_bundle
from skyloom.runtime.contract import Flag, Inputs
from skyloom.runtime.networks import Network, state_arrays
from skyloom.runtime.tensors import TensorInput, tensor_values

NO_CUTOUT = Flag(0, "NO_CUTOUT", "no image")
CARD = Card(
    name="toy", variant="one", title="", question="predict", source="", intended_use="tests", limits="all",
    licence="BSD-3-Clause", command="", evaluate="", tolerance={"light": 1e-3, "word": 0.0}, out_of_scope="else",
    inputs=(Input("cutout", (1, 8, 8), "nJy", ("r",), 0.2, "none"),),
)  # fmt: skip


class Light(nn.Module):
    """Two outputs from one image."""

    def __init__(self, *, fixed_rows=False):
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3)
        self.fixed_rows = fixed_rows

    def forward(self, image):
        made = torch.relu(self.convolution(image / 100))
        light = made.flatten(1).sum(1)
        return {"light": light + torch.zeros(8) if self.fixed_rows else light, "parts": made.mean((2, 3))}


class Sum(nn.Module):
    """One tensor, no name."""

    def forward(self, parts):
        return parts.sum(1, keepdim=True)


@dataclass(frozen=True)
class Toy:
    """A system whose second network reads what the first one gives."""

    NAME: str = "toy"
    Config: type = dict
    FLAGS: tuple[Flag, ...] = (NO_CUTOUT,)

    def reads(self, config):
        return ()

    def writes(self, config):
        return (
            Column("light", "nJy", "sum", "float32", "phot.flux"),
            Column("word", "", "sign", "string", "meta.code"),
        )

    def tensors(self, config):
        return (TensorInput("cutout", (1, 8, 8), "nJy"),)

    def inputs(self, config, rows):
        values, valid = tensor_values(rows, "cutout", (1, 8, 8))
        good = valid & np.isfinite(values).all(axis=(1, 2, 3))
        return Inputs({"image": values[good]}, np.where(good, 0, 1).astype(np.uint32), good)

    def predict(self, estimator, arrays):
        first = estimator.first(image=arrays["image"])
        total = estimator.second(parts=first["parts"])["out"][:, 0]
        return {"light": first["light"] + total, "word": np.where(total > 0, "up", "down")}


@dataclass(frozen=True)
class Estimator:
    first: Any
    second: Any


def subject(*, card=CARD, fixed_rows=False):
    torch.manual_seed(0)
    estimator = Estimator(Network(Light(fixed_rows=fixed_rows), tile_rows=8), Network(Sum(), tile_rows=8))
    return Subject(Toy(), {}, estimator, card, "sha256:weights")


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_every_network_is_written_and_the_columns_stay(kind, tmp_path):
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    done = export_networks(subject(), kind=kind, output=tmp_path / f"toy.{kind}")
    assert [path.name for path in done.files] == [f"toy-first.{kind}", f"toy-second.{kind}"]
    assert sorted(tmp_path.iterdir()) == sorted(done.files)  # nothing else is left behind
    assert {p.column: p.tolerated for p in done.parity} == {"light": True, "word": True}
    assert max(p.measured for p in done.parity) < 1e-4


def test_a_pt2_takes_any_number_of_rows_and_says_what_it_is(tmp_path):
    first = export_networks(subject(), kind="pt2", output=tmp_path / "toy.pt2").files[0]
    found = {METADATA: ""}
    program = torch.export.load(first, extra_files=found)
    images = torch.randn(5, 1, 8, 8)
    for rows in (1, 2, 5):
        made = program.module()(image=images[:rows])
        torch.testing.assert_close(made["light"], subject().estimator.first.module(image=images[:rows])["light"])
    about = json.loads(found[METADATA])
    assert about["network"] == "first"
    assert about["rows"] is None
    assert about["inputs"] == {"image": {"shape": ["rows", 1, 8, 8], "type": "float32"}}
    assert about["outputs"] == {"light": ["rows"], "parts": ["rows", 3]}
    assert about["weights_digest"] == "sha256:weights"
    assert about["made_from"][0]["unit"] == "nJy"
    assert about["columns"] == {"light": "nJy", "word": ""}
    assert about["out_of_scope"] == "else"


def test_an_onnx_file_says_the_same_and_takes_any_number_of_rows(tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = export_networks(subject(), kind="onnx", output=tmp_path / "toy.onnx").files[0]
    about = json.loads({p.key: p.value for p in onnx.load(path).metadata_props}[METADATA])
    assert (about["network"], about["rows"]) == ("first", None)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = torch.randn(3, 1, 8, 8)
    light, parts = session.run(["light", "parts"], {"image": images.numpy()})
    own = subject().estimator.first.module(image=images)
    np.testing.assert_allclose(light, own["light"].detach().numpy(), rtol=1e-5)
    assert parts.shape == (3, 3)


def test_a_network_that_is_bound_to_its_tile_says_so(tmp_path):
    first = export_networks(subject(fixed_rows=True), kind="pt2", output=tmp_path / "toy.pt2").files[0]
    found = {METADATA: ""}
    torch.export.load(first, extra_files=found)
    assert json.loads(found[METADATA])["rows"] == 8


def test_what_is_further_away_than_the_tolerance_is_not_written(tmp_path, monkeypatch):
    def spoilt(module, call, path, about):
        export_formats._as_pt2(module, call, path, about)
        off = subject().estimator.first.module if "light" in call.outputs else module
        with torch.no_grad():
            for parameter in off.parameters():
                parameter.add_(0.01)
        return off

    monkeypatch.setattr(export_formats, "FORMATS", {"pt2": spoilt})
    monkeypatch.setattr("skyloom.evaluation.export.FORMATS", {"pt2": spoilt})
    with pytest.raises(DataError, match=r"light by .* \(at most 0\.001\).*Nothing was written") as caught:
        export_networks(subject(), kind="pt2", output=tmp_path / "toy.pt2")
    assert caught.value.kind == ErrorKind.MODEL_OUTPUT
    assert list(tmp_path.iterdir()) == []


def test_a_card_without_tolerances_lets_nothing_be_written(tmp_path):
    with pytest.raises(SpecError, match="no tolerance of light, word"):
        export_networks(
            subject(card=dataclasses.replace(CARD, tolerance={})), kind="pt2", output=tmp_path / "toy.pt2"
        )
    assert list(tmp_path.iterdir()) == []


def test_wrong_requests_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SpecError, match="'pt2'"):
        export_networks(subject(), kind="pt", output=tmp_path / "toy.pt2")
    (tmp_path / "toy-first.pt2").touch()
    with pytest.raises(SpecError, match="there already"):
        export_networks(subject(), kind="pt2", output=tmp_path / "toy.pt2")
    for name in ("lightcurve-features", "transient-class"):
        with pytest.raises(SpecError, match="no network"):
            export(name, kind="pt2", output=tmp_path / "none.pt2")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NotFoundError, match=r"onnxruntime.*export"):
        export_networks(subject(), kind="onnx", output=tmp_path / "toy.onnx")


def test_the_command_exports_the_shipped_networks(tmp_path, capsys):
    output = tmp_path / "gamornet.pt2"
    assert main(["model", "export", "gamornet", "--output", str(output), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [name.rsplit("-", 1)[1] for name in said["files"]] == [f"networks.{k}.pt2" for k in range(3)]
    assert all(row["difference"] <= 1e-6 for row in said["parity"])


def test_an_exported_network_is_no_weights(tmp_path):
    first = export_networks(subject(), kind="pt2", output=tmp_path / "toy.pt2").files[0]
    write_bundle(tmp_path / "bundle", CARD, state_arrays(Light()))
    first.rename(tmp_path / "bundle" / "model.pt2")
    with pytest.raises(DataError) as caught:
        read_bundle(tmp_path / "bundle")
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS


def test_a_run_never_imports_what_opens_exported_networks():
    code = (
        "import sys, skyloom.jobs.scoring, skyloom.jobs.execute, skyloom.jobs.lazy\n"
        "bad = [n for n in ('skyloom.evaluation.export', 'skyloom.evaluation.export_formats', 'onnx',"
        " 'onnxruntime') if n in sys.modules]\n"
        "sys.exit(', '.join(bad) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
