"""Weights as data: read, checked against their card, never executed.

A bundle is a folder ``weights/<system>/<variant>/`` with ``card.toml``, ``*.safetensors`` and
``*.json``, nothing else. Every file must have the sha256 that the card gives; formats that
can carry code are refused by name and by their first bytes, whatever they are called.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError, close_matches
from skyloom.models.card import Card
from skyloom.runtime.contract import Weights

__all__ = [
    "CARD",
    "SHIPPED",
    "default_variant",
    "is_path",
    "load_weights",
    "read_bundle",
    "rewrite_card",
    "variants",
    "write_bundle",
]

SHIPPED = Path(__file__).parent / "weights"
"""The weights that come with the package."""

CARD = "card.toml"
_SUFFIXES = (".safetensors", ".json")
_CODE_SUFFIXES = (
    ".pkl",
    ".pickle",
    ".pt",
    ".pth",
    ".pt2",
    ".joblib",
    ".bin",
    ".ckpt",
    ".npy",
    ".npz",
    ".h5",
    ".keras",
)
_MAX_BYTES = 1 << 30
_MAGIC_BYTES = 16


def variants(system: str, *, root: Path | None = None) -> tuple[str, ...]:
    """Return the names of the weights that there are for `system`, sorted."""
    folder = (root or SHIPPED) / system
    if not folder.is_dir():
        return ()
    return tuple(sorted(p.name for p in folder.iterdir() if (p / CARD).is_file()))


def default_variant(system: str, *, root: Path | None = None) -> str | None:
    """Return the weights to use where none are named: the first, or None where there are none."""
    return next(iter(variants(system, root=root)), None)


def load_weights(system: str, variant: str | None = None, *, root: Path | None = None) -> tuple[Card, Weights]:
    """Read the weights of `system` called `variant`.

    Parameters
    ----------
    system : str
    variant : str, optional
        A name, or the path of a bundle's folder (what has a ``/`` in it); default: `default_variant`.
    root : path, optional
        Folder of bundles that names are looked up in; default: the shipped ones.

    Raises
    ------
    NotFoundError
        If there are no such weights; the message offers the close names.
    DataError
        ``BAD_WEIGHTS`` as `read_bundle` has it, or if they are the weights of another system.
    """
    there = variants(system, root=root)
    chosen = str(variant or default_variant(system, root=root))
    if is_path(chosen):
        folder = Path(chosen).expanduser()
    elif chosen in there:
        folder = (root or SHIPPED) / system / chosen
    else:
        msg = (
            f"model {system} has no weights {chosen!r}; {close_matches(chosen, there)}. "
            "Weights of your own are named by the path of their folder, such as ./mine"
        )
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, model=system, variant=chosen)
    card, weights = read_bundle(folder)
    if card.name != system:
        msg = f"the weights {chosen!r} of {system} have the card of {card.name}; put them where they belong"
        raise DataError(msg, kind=ErrorKind.BAD_WEIGHTS, model=system, found=card.name)
    return card, weights


def read_bundle(folder: Path) -> tuple[Card, Weights]:
    """Read a bundle from a folder.

    Raises
    ------
    NotFoundError
        If there is no such folder, or it has no card.
    DataError
        ``BAD_WEIGHTS`` if a file is not the one that the card describes, is not expected, can
        carry code, is torn, or holds a number that is NaN.
    """
    if folder.is_file():
        msg = f"{folder} is a file: weights are a folder of {CARD} and {' or '.join(_SUFFIXES)}"
        with folder.open("rb") as file:
            code = _is_code(file.read(_MAGIC_BYTES))
        if code or folder.suffix.lower() in _CODE_SUFFIXES:
            msg += "; a pickle or archive may carry code and is never opened"
        raise _bad(msg, folder)
    if not (folder / CARD).is_file():
        msg = f"{folder} has no {CARD}: not a bundle of weights"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(folder))
    text = (folder / CARD).read_bytes()
    card = Card.from_toml(text.decode(errors="replace"), where=str(folder / CARD))
    found = sorted(p.name for p in folder.iterdir() if p.name != CARD)
    if found != sorted(card.files):
        odd = sorted(set(found) ^ set(card.files))
        msg = f"{folder}: {', '.join(odd)} stand in the folder or in the card, but not in both"
        raise _bad(msg, folder / odd[0])
    arrays: dict[str, NDArray[Any]] = {}
    texts: dict[str, str] = {}
    whole = hashlib.sha256(text)
    for name in found:
        data = _verified(folder / name, card.files[name])
        whole.update(data)
        if name.endswith(".json"):
            texts[name] = data.decode()
        else:
            arrays.update(_arrays(data, folder / name))
    return card, Weights(arrays=arrays, texts=texts, digest=f"sha256:{whole.hexdigest()}")


def write_bundle(folder: Path, card: Card, arrays: Mapping[str, NDArray[Any]]) -> Card:
    """Write arrays and their card; the same arguments give the same bytes.

    Returns
    -------
    Card
        `card` with the digests of the files.

    Raises
    ------
    SpecError
        If an array holds a NaN.
    """
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            msg = f"array {name} of {card.name} holds NaN: training failed; nothing was written"
            raise SpecError(msg, kind=ErrorKind.BAD_WEIGHTS, array=name)
    # Not ascontiguousarray: that gives a count of batches, which has no axis, one.
    data = save({name: np.asarray(arrays[name], order="C") for name in sorted(arrays)})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(data)
    done = dataclasses.replace(card, files={"model.safetensors": f"sha256:{hashlib.sha256(data).hexdigest()}"})
    (folder / CARD).write_text(done.to_toml())
    return done


def rewrite_card(folder: Path, card: Card) -> Card:
    """Give a bundle another card, which vouches for the files that are there; the files stay as they are.

    Returns
    -------
    Card
        `card` with the digests of the files.

    Raises
    ------
    NotFoundError, DataError
        As `read_bundle`: only a bundle that is whole gets another card.
    SpecError
        If the card is that of another system or variant.
    """
    old, _ = read_bundle(folder)
    if (old.name, old.variant) != (card.name, card.variant):
        msg = f"{folder} holds {old.name} {old.variant}, and the card is that of {card.name} {card.variant}"
        raise SpecError(msg, kind=ErrorKind.BAD_WEIGHTS, file=str(folder))
    done = dataclasses.replace(card, files=old.files)
    (folder / CARD).write_text(done.to_toml())
    return done


def is_path(variant: str) -> bool:
    """Whether weights are named by the path of their folder."""
    return "/" in variant


def _bad(msg: str, path: Path) -> DataError:
    return DataError(msg, kind=ErrorKind.BAD_WEIGHTS, file=str(path))


def _verified(path: Path, digest: str) -> bytes:
    if path.suffix.lower() in _CODE_SUFFIXES or path.suffix not in _SUFFIXES:
        raise _bad(f"{path}: weights are {' or '.join(_SUFFIXES)}; other formats may carry code", path)
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise _bad(f"{path} is a link, no file, or larger than {_MAX_BYTES} bytes", path)
    data = path.read_bytes()
    if _is_code(data):
        raise _bad(f"{path} is a pickle or an archive under another name: it may carry code", path)
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise _bad(f"{path} is not the file of its card: expected {digest}, found {found}; get it again", path)
    return data


def _is_code(data: bytes) -> bool:
    """Whether the bytes begin as a pickle (protocol 2 up), a zip (torch), a numpy or an HDF5 file."""
    pickled = len(data) > 2 and data[0] == 0x80 and data[1] in range(2, 6) and data[2:8] != b"\0" * 6
    return pickled or data.startswith((b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF", b"cos\n", b"c__builtin__"))


def _arrays(data: bytes, path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _bad(f"{path} is torn or no safetensors file: {error}", path) from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise _bad(f"{path}: array {name} holds NaN", path)
    return arrays
