"""Weights are data: what is not what its card says is refused, and nothing is executed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError
from skyloom.models.card import Bin, Card, Domain, Input, Score, Subgroup, unsaid
from skyloom.models.weights import CARD, default_variant, load_weights, read_bundle, variants, write_bundle

CARD_IN = Card(
    name="toy",
    variant="one",
    title='A "toy"',
    question="predict",
    source="none",
    intended_use="tests\nonly",
    limits="all \N{EN DASH} of them",
    licence="BSD-3-Clause",
    command="make",
    evaluate="none",
    training={"n": 3, "fraction": 0.1, "simulated": True, "data": "seed 0"},
    flags={"FEW": "too few"},
    reads=("x",),
    writes=("y", "z"),
    scores=(Score("auc", "ours", 0.9, 0.01), Score("log-loss", "reported", 0.5, 0.25, "lower")),
    reliability=(Bin("y", 0.0, 0.1, 5, 0.05, 0.04),),
)
OF_A_NETWORK = dataclasses.replace(
    CARD_IN,
    inputs=(
        Input("cutout", (3, 64, 64), "nJy", ("g", "r", "i"), 0.2, "asinh"),
        Input("spectrum", (1, 4000), normalisation="by its median"),
    ),
    architecture={"networks.0": "sha256:00"},
    tolerance={"y": 0.01, "z": 0.0},
    domain=Domain("toy survey", ("g", "r", "i"), "r < 24", "single epoch", "all of it", simulated=True),
    priors={"a": 0.25, "b": 0.75},
    out_of_scope="other surveys",
    subgroups=(
        Subgroup("auc", "magnitude", "20 to 21", 55, 0.8, 0.02),
        Subgroup("auc", "magnitude", "21 to 22", 3, 0.5),
    ),
)
ARRAYS = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.array([1, 2])}


class Evil:
    """Unpickling this would make the file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "toy" / "one"
    write_bundle(folder, CARD_IN, ARRAYS)
    return folder


def with_digest_of(folder: Path, name: str, data: bytes) -> None:
    """Put a file there and let the card vouch for it: an attacker who can write both."""
    (folder / name).write_bytes(data)
    card = Card.from_toml((folder / CARD).read_text())
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    text = (folder / CARD).read_text()
    old = card.files.get(name)
    text = (
        text.replace(old, digest)
        if old
        else text.replace("[files]", f"[files]\n{json.dumps(name)} = {json.dumps(digest)}")
    )
    (folder / CARD).write_text(text)


def test_a_card_survives_the_round_trip(bundle):
    card, _ = read_bundle(bundle)
    assert Card.from_toml(card.to_toml()) == card
    assert card.scores == CARD_IN.scores
    assert card.limits == CARD_IN.limits
    assert card.training == dict(CARD_IN.training)


def test_what_the_card_of_a_network_says_survives_the_round_trip():
    text = OF_A_NETWORK.to_toml()
    again = Card.from_toml(text)
    assert again.to_toml() == text
    assert dataclasses.replace(again, subgroups=()) == dataclasses.replace(OF_A_NETWORK, subgroups=())
    assert [s.group for s in again.subgroups] == ["20 to 21", "21 to 22"]
    assert again.inputs[0].shape == (3, 64, 64)
    assert again.inputs[1].pixel_arcsec is None
    assert unsaid(again) == ()


def test_a_card_of_before_is_written_and_read_as_before():
    text = CARD_IN.to_toml()
    assert not {"inputs", "domain", "tolerance", "out_of_scope", "priors"} & set(tomllib.loads(text))
    assert unsaid(Card.from_toml(text)) == (
        "inputs", "architecture", "tolerance", "domain", "out_of_scope", "subgroups",
    )  # fmt: skip


@pytest.mark.parametrize("spoilt", ["[domain]\nsurvey = 'x'", "[[inputs]]\nform = 3", "domain = 'sky'"])
def test_a_card_whose_parts_are_of_another_shape_is_refused(spoilt):
    text = CARD_IN.to_toml()
    broken = f"{spoilt}\n{text}" if spoilt.startswith("domain") else f"{text}\n{spoilt}\n"
    with pytest.raises(DataError, match="no model card") as caught:
        Card.from_toml(broken)
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS


def test_weights_come_back_as_they_were(bundle):
    _, weights = read_bundle(bundle)
    assert {k: v.tolist() for k, v in weights.arrays.items()} == {k: v.tolist() for k, v in ARRAYS.items()}


def test_shapes_come_back_as_they_were_even_that_of_a_number_alone(tmp_path):
    arrays = {"count": np.array(3), "turned": np.arange(6.0).reshape(2, 3).T}
    write_bundle(tmp_path, CARD_IN, arrays)
    found = read_bundle(tmp_path)[1].arrays
    assert found["count"].shape == ()
    np.testing.assert_array_equal(found["turned"], arrays["turned"])


def test_the_same_weights_give_the_same_bytes_and_digest(bundle, tmp_path):
    write_bundle(tmp_path / "again", CARD_IN, dict(reversed(ARRAYS.items())))
    for name in (CARD, "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (bundle / name).read_bytes()
    assert read_bundle(tmp_path / "again")[1].digest == read_bundle(bundle)[1].digest


@pytest.mark.parametrize("place", [0, 9, -1])
def test_a_flipped_byte_is_found(bundle, place):
    data = bytearray((bundle / "model.safetensors").read_bytes())
    data[place] ^= 1
    (bundle / "model.safetensors").write_bytes(data)
    with pytest.raises(DataError, match="not the file of its card") as caught:
        read_bundle(bundle)
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_a_torn_file_is_refused_even_when_the_card_vouches_for_it(bundle, keep):
    data = (bundle / "model.safetensors").read_bytes()[:keep]
    (bundle / "model.safetensors").write_bytes(data)
    with pytest.raises(DataError):
        read_bundle(bundle)
    with_digest_of(bundle, "model.safetensors", data)
    with pytest.raises(DataError, match="torn"):
        read_bundle(bundle)


def test_a_header_that_claims_more_than_there_is_is_refused(bundle):
    with_digest_of(bundle, "model.safetensors", (2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(DataError, match="torn"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.joblib", "model.bin", "model.npy", "model.txt"])
def test_other_formats_are_refused_by_name(bundle, name):
    with_digest_of(bundle, name, save(ARRAYS))
    with pytest.raises(DataError, match="carry code"):
        read_bundle(bundle)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_under_another_name_is_refused_and_not_run(bundle, tmp_path, protocol):
    mark = tmp_path / "executed"
    with_digest_of(bundle, "model.safetensors", pickle.dumps(Evil(mark), protocol=protocol))
    with pytest.raises(DataError, match="pickle"):
        read_bundle(bundle)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [0, 1])
def test_an_old_pickle_is_no_safetensors_file_either(bundle, tmp_path, protocol):
    mark = tmp_path / "executed"
    with_digest_of(bundle, "model.safetensors", pickle.dumps(Evil(mark), protocol=protocol))
    with pytest.raises(DataError):
        read_bundle(bundle)
    assert not mark.exists()


def test_an_archive_under_another_name_is_refused(bundle):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", b"")
    with_digest_of(bundle, "model.safetensors", archive.getvalue())
    with pytest.raises(DataError, match="archive"):
        read_bundle(bundle)


def test_nan_weights_are_neither_written_nor_read(bundle, tmp_path):
    bad = {"a": np.array([1.0, np.nan])}
    with pytest.raises(SpecError, match="NaN"):
        write_bundle(tmp_path / "bad", CARD_IN, bad)
    with_digest_of(bundle, "model.safetensors", save(bad))
    with pytest.raises(DataError, match="NaN"):
        read_bundle(bundle)


def test_a_file_that_the_card_does_not_know_is_refused(bundle):
    (bundle / "extra.json").write_text("{}")
    with pytest.raises(DataError, match=r"extra\.json"):
        read_bundle(bundle)


def test_a_link_is_refused(bundle, tmp_path):
    (bundle / "model.safetensors").rename(tmp_path / "elsewhere")
    (bundle / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="link"):
        read_bundle(bundle)


def test_a_card_with_other_keys_is_refused(bundle):
    (bundle / CARD).write_text("nonsense = 1\n" + (bundle / CARD).read_text())
    with pytest.raises(DataError, match="nonsense"):
        read_bundle(bundle)


def test_weights_that_are_not_there_are_answered_with_those_that_are(bundle):
    root = bundle.parents[1]
    assert variants("toy", root=root) == ("one",)
    assert default_variant("toy", root=root) == "one"
    assert default_variant("none", root=root) is None
    with pytest.raises(NotFoundError, match="'one'"):
        load_weights("toy", "onne", root=root)


def test_weights_of_ones_own_are_named_by_their_folder(bundle, tmp_path):
    assert (
        load_weights("toy", str(bundle))[1].digest == load_weights("toy", "one", root=bundle.parents[1])[1].digest
    )
    with pytest.raises(NotFoundError, match=r"card\.toml"):
        load_weights("toy", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="card of toy"):
        load_weights("other", str(bundle))


@pytest.mark.parametrize("name", ["net.pt", "net.pkl", "net"])
def test_a_pickle_offered_as_weights_is_refused_unopened(tmp_path, name):
    mark = tmp_path / "executed"
    (tmp_path / name).write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(DataError, match="may carry code and is never opened") as caught:
        load_weights("toy", str(tmp_path / name))
    assert caught.value.kind == ErrorKind.BAD_WEIGHTS
    assert not mark.exists()


def test_a_bare_file_of_weights_has_no_card_and_is_refused(bundle):
    with pytest.raises(DataError, match=r"is a file: weights are a folder of card\.toml") as caught:
        load_weights("toy", str(bundle / "model.safetensors"))
    assert "carry code" not in str(caught.value)


def test_weights_of_another_model_are_refused(bundle, tmp_path):
    (tmp_path / "other").mkdir()
    bundle.rename(tmp_path / "other" / "one")
    with pytest.raises(DataError, match="card of toy"):
        load_weights("other", "one", root=tmp_path)


def test_shipped_weights_are_small():
    from skyloom.models.weights import SHIPPED

    for bundle in SHIPPED.glob("*/*"):
        assert sum(f.stat().st_size for f in bundle.rglob("*") if f.is_file()) < 8_000_000, bundle
    assert sum(f.stat().st_size for f in SHIPPED.rglob("*") if f.is_file()) < 24_000_000
