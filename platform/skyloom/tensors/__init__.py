"""Tensor stores: images and spectra in Zarr, aligned row for row with a HATS catalog.

One group per partition under the partition's own path, sharded, every chunk with a crc32c,
the catalog's row keys beside the array. A group becomes visible whole, with a statement of
what it holds, or not at all.
"""

from skyloom.tensors.check import Finding, check_store
from skyloom.tensors.create import create_store
from skyloom.tensors.keys import first_difference, key_arrays, keys_digest
from skyloom.tensors.layout import CODECS, Layout, Statement
from skyloom.tensors.partition import CORRUPT, MISSING, TensorSlice
from skyloom.tensors.read import Cutouts, Spectra, TensorStore, open_tensors
from skyloom.tensors.write import PartitionWriter

__all__ = [
    "CODECS",
    "CORRUPT",
    "MISSING",
    "Cutouts",
    "Finding",
    "Layout",
    "PartitionWriter",
    "Spectra",
    "Statement",
    "TensorSlice",
    "TensorStore",
    "check_store",
    "create_store",
    "first_difference",
    "key_arrays",
    "keys_digest",
    "open_tensors",
]
