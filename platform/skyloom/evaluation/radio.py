"""Labelled radio galaxies of MiraBest and FR-DEEP as arrays, and their split by object.

Read from Parquet files with columns ``filename``, ``batch``, ``label`` (0 FR I, 1 FR II) and
``image_u8`` (150 x 150 px, 8 bits): the published batches are pickles, and those are not opened.

MiraBest here is its confidently classified, standard sources: eight published training batches;
the test batch may be absent, so the split is ours. An object's part follows from a hash of its
name, ranked within its class, so both classes are split alike; files with the same image or the same
name are one object. No two of these MiraBest sources lie within one image of each other.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind, NotFoundError
from skyloom.evaluation.split import Parts
from skyloom.models import radio_galaxy
from skyloom.models.radio_galaxy.columns import CUTOUT
from skyloom.runtime.tensors import tensor_column

__all__ = [
    "CLASSES",
    "RADIO_FRACTIONS",
    "RADIO_SEED",
    "RadioSet",
    "object_names",
    "radio_parts",
    "read_radio",
    "scorable_radio",
]

CLASSES = ("FRI", "FRII")
RADIO_FRACTIONS = (0.65, 0.15, 0.20)
"""Of training, calibration and held-out objects."""
RADIO_SEED = 20210415

_SIDE_PX = 150
_FILES = {
    "mirabest": ("mirabest", "mirabest_batches_792_150x150.parquet", "github fmporter/MiraBest"),
    "frdeep-first": ("frdeep", "frdeep_first_600_150x150.parquet", "github HongmingTang060313/FR-DEEP"),
    "frdeep-nvss": ("frdeep", "frdeep_nvss_600_150x150.parquet", "github HongmingTang060313/FR-DEEP"),
}


@dataclass(frozen=True, slots=True, eq=False)
class RadioSet:
    """N labelled images."""

    images: NDArray[np.float32]
    """Shape (N, 1, 150, 150): grey levels, 0 to 255, background zero."""
    target: NDArray[np.int64]
    """Shape (N,): 0 FR I, 1 FR II."""
    objects: NDArray[np.str_]
    """Shape (N,): one name per object on the sky, shared by its images."""
    batch: NDArray[np.str_]
    """Shape (N,): the published batch."""


def read_radio(name: str, folder: str | Path | None = None) -> RadioSet:
    """Read ``"mirabest"``, ``"frdeep-first"`` or ``"frdeep-nvss"``.

    Parameters
    ----------
    name : str
    folder : path, optional
        The folder that holds ``mirabest/`` and ``frdeep/``; default ``$SKYLOOM_DATA``.

    Raises
    ------
    NotFoundError
        If the file is not there; the message says where it comes from.
    DataError
        If it has other columns, labels or image sizes.
    """
    import pyarrow.parquet as pq

    place, file, origin = _FILES[name]
    path = Path(folder or os.environ.get("SKYLOOM_DATA", ".")) / place / file
    if not path.is_file():
        msg = f"no {path}: name the folder of {place}/, or set SKYLOOM_DATA; the images come from {origin}"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, file=str(path))
    table = pq.read_table(path)
    missing = sorted({"filename", "batch", "label", "image_u8"} - set(table.column_names))
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}", kind=ErrorKind.UNKNOWN_COLUMN, file=str(path))
    target = table["label"].to_numpy().astype(np.int64)
    pixels = table["image_u8"].combine_chunks().flatten().to_numpy()
    if pixels.size != len(target) * _SIDE_PX**2 or not np.isin(target, (0, 1)).all():
        msg = f"{path}: expected images of {_SIDE_PX} x {_SIDE_PX} px and labels 0 and 1; get the file again"
        raise DataError(msg, kind=ErrorKind.COLUMN_TYPE, file=str(path))
    images = pixels.reshape(-1, 1, _SIDE_PX, _SIDE_PX)
    names = object_names(table["filename"].to_pylist(), images)
    return RadioSet(images.astype(np.float32), target, names, np.array(table["batch"].to_pylist()))


def scorable_radio(data: RadioSet) -> RadioSet:
    """Return the rows that a job would score, their images as `skyloom.models.radio_galaxy.inputs` makes them.

    A few published images are empty; a job flags those.
    """
    rows = pa.RecordBatch.from_arrays([tensor_column(data.images)], names=[CUTOUT])
    made = radio_galaxy.inputs(radio_galaxy.Config(), rows)
    kept = made.scorable
    return RadioSet(made.arrays["image"], data.target[kept], data.objects[kept], data.batch[kept])


def object_names(files: list[str], images: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Return one name per object: the file's, without what only tells surveys apart.

    FR-DEEP calls one source ``42_FRICAT_FR1_.png`` in NVSS and ``42_FRICAT_FR1_example.png`` in
    FIRST. Files with the very same image share a name.
    """
    first: dict[bytes, str] = {}
    names = []
    for file, image in zip(files, images, strict=True):
        name = Path(file).stem.removesuffix("example").rstrip("_")
        names.append(first.setdefault(hashlib.sha256(image.tobytes()).digest(), name) if image.any() else name)
    return np.array(names)


def radio_parts(data: RadioSet, *, seed: int = RADIO_SEED) -> Parts:
    """Return training, calibration and held-out rows: by object, the classes alike.

    Parameters
    ----------
    data : RadioSet
    seed : int
        Another seed, another split.
    """
    part: dict[str, int] = {}
    for label in range(len(CLASSES)):
        # An object under two labels goes with the first one.
        names = sorted(set(data.objects[data.target == label].tolist()) - part.keys())
        ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        n_train = round(RADIO_FRACTIONS[0] * len(ranked))
        n_calibration = round(RADIO_FRACTIONS[1] * len(ranked))
        for rank, name in enumerate(ranked):
            part[name] = 0 if rank < n_train else 1 if rank < n_train + n_calibration else 2
    of = np.array([part[name] for name in data.objects.tolist()], dtype=np.int64)
    return Parts(of == 0, of == 1, of == 2)
