"""Cut the sky into partitions, and let hats-import fill them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from skyloom.catalog.spec import ImportSpec
from skyloom.catalog.staging import Staged
from skyloom.errors import ErrorKind, StoreFullError, TransientError

__all__ = ["choose_pixels", "cut_sky"]

_ROW_GROUP_ROWS = 100_000
_LOOPBACK = "127.0.0.1:0"
"""Dask serves HTTP whatever it is told, and on all interfaces unless told where."""


def choose_pixels(
    counts: Mapping[int, float], *, order: int, threshold: float, lowest_order: int = 0
) -> list[tuple[int, int]]:
    """Return the HEALPix pixels that become partitions.

    From the coarsest order down, a pixel is split while it holds more than `threshold` and
    splitting can help: rows that share one pixel at the highest order stay together, in
    the coarsest pixel that holds nothing else.

    Parameters
    ----------
    counts : mapping of int to float
        Nested pixel number at `order` -> rows (or bytes) in it.
    order : int
        HEALPix order of `counts`: no partition is finer.
    threshold : float
        Rows (or bytes) that a partition should not exceed.
    lowest_order : int
        No partition is coarser.

    Returns
    -------
    list of (order, npix)
        Disjoint, covering every pixel of `counts`, in breadth-first order.

    Examples
    --------
    >>> choose_pixels({0: 5, 1: 5, 700: 3}, order=4, threshold=8)
    [(4, 0), (4, 1), (0, 2)]
    """
    import numpy as np

    npix = np.array(sorted(counts), dtype=np.int64)
    held = np.array([counts[int(pixel)] for pixel in npix], dtype=np.float64)
    chosen: list[tuple[int, int]] = []
    for level in range(lowest_order, order + 1):
        if not len(npix):
            break
        parent, where, cells = np.unique(npix >> (2 * (order - level)), return_inverse=True, return_counts=True)
        total = np.bincount(where, weights=held)
        final = (total <= threshold) | (cells == 1) | (level == order)
        chosen += [(level, int(pixel)) for pixel in parent[final]]
        npix, held = npix[~final[where]], held[~final[where]]
    return sorted(chosen, key=lambda pixel: (pixel[1] << (2 * (order - pixel[0])), pixel[0]))


def cut_sky(spec: ImportSpec, staged: Staged, work: Path) -> Path:
    """Run hats-import over the staged rows and return the catalog that it made, inside `work`.

    Raises
    ------
    StoreFullError
        If the disk is full.
    TransientError
        INCOMPLETE if hats-import failed for another reason, with what it printed.
    """
    from distributed import Client
    from hats_import.catalog.run_import import run

    arguments = _arguments(spec, staged, work)
    printed = io.StringIO()
    # One process: an import of this size is over before worker processes have started.
    with (
        Client(
            processes=False,
            n_workers=1,
            threads_per_worker=spec.threads,
            memory_limit=0,
            dashboard_address=_LOOPBACK,
            worker_dashboard_address=_LOOPBACK,
            local_directory=str(work / "dask"),
        ) as client,
        contextlib.redirect_stdout(printed),
    ):
        try:
            run(arguments, client)
        except Exception as error:
            raise _failure(error, printed.getvalue()) from error
    return Path(str(arguments.catalog_path))


def _failure(error: Exception, printed: str) -> TransientError:
    """Say why hats-import stopped: its own error often only points to what it printed."""
    reason = printed.strip()[-1_000:] or str(error)
    if "No space left" in reason or "No space left" in str(error):
        return StoreFullError(f"no room for the import: {reason}", kind=ErrorKind.STORE_FULL)
    msg = f"hats-import stopped ({error}); nothing was kept. It said: {reason}"
    return TransientError(msg, kind=ErrorKind.INCOMPLETE)


def _arguments(spec: ImportSpec, staged: Staged, work: Path) -> Any:
    from hats_import import ImportArguments
    from hats_import.catalog.file_readers import ParquetPyarrowReader

    wanted = spec.partitions
    pixels = choose_pixels(
        staged.pixels,
        order=wanted.highest_order,
        threshold=wanted.bytes or wanted.rows,
        lowest_order=wanted.lowest_order,
    )
    finest = max(order for order, _ in pixels)
    schema_file = work / "staging" / "schema.parquet"
    pq.write_metadata(staged.schema, schema_file)
    return ImportArguments(
        output_path=work,
        output_artifact_name=spec.name,
        input_file_list=list(staged.files),
        file_reader=ParquetPyarrowReader(chunksize=max(1, int(64e6 / max(1.0, staged.row_bytes)))),
        ra_column="ra",
        dec_column="dec",
        sort_columns=spec.id_column,
        use_schema_file=schema_file,
        expected_total_rows=staged.rows,
        lowest_healpix_order=0,
        highest_healpix_order=max(1, finest),
        existing_pixels=pixels,
        pixel_threshold=staged.rows,
        row_group_kwargs={"num_rows": _ROW_GROUP_ROWS},
        write_table_kwargs={"write_page_checksum": True, "compression": "zstd", "compression_level": 3},
        addl_hats_properties=_properties(spec),
        tmp_dir=work / "tmp",
        resume=False,
        progress_bar=False,
    )


def _properties(spec: ImportSpec) -> dict[str, str]:
    """Return what HATS has words for; a property is one line."""
    words = {
        "hats_cols_survey_id": spec.id_column or "",
        "obs_title": spec.title,
        "obs_description": spec.description,
        "obs_copyright": spec.licence,
        "bib_reference": spec.citation,
    }
    return {key: " ".join(text.split()) for key, text in words.items() if text.strip()}
