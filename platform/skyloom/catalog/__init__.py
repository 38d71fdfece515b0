"""Catalogs: HATS as hats and lsdb define it, read, described, checked and imported.

Names are resolved when first used, so that a worker that imports
`skyloom.catalog.partition` pays for pyarrow and numpy only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyloom.catalog.catalog import open_catalog
    from skyloom.catalog.check import CheckReport, check_catalog
    from skyloom.catalog.describe import Description
    from skyloom.catalog.descriptor import Descriptor, expand_variables, list_descriptors, load_descriptor
    from skyloom.catalog.ingest import import_catalog
    from skyloom.catalog.partition import Partition, read_partition
    from skyloom.catalog.spec import ImportSpec, load_import_spec
    from skyloom.catalog.value import Catalog

_HOME = {
    "Catalog": "value",
    "CheckReport": "check",
    "Description": "describe",
    "Descriptor": "descriptor",
    "ImportSpec": "spec",
    "Partition": "partition",
    "check_catalog": "check",
    "import_catalog": "ingest",
    "expand_variables": "descriptor",
    "list_descriptors": "descriptor",
    "load_descriptor": "descriptor",
    "load_import_spec": "spec",
    "open_catalog": "catalog",
    "read_partition": "partition",
}

__all__ = [
    "Catalog",
    "CheckReport",
    "Description",
    "Descriptor",
    "ImportSpec",
    "Partition",
    "check_catalog",
    "expand_variables",
    "import_catalog",
    "list_descriptors",
    "load_descriptor",
    "load_import_spec",
    "open_catalog",
    "read_partition",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
