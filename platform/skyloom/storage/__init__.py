"""Locations, names, digests and the one write primitive: create once, whole and durable.

`Store.put_if_absent` and `Store.stage` are all that a run ever does to its output: the
first writer of a name wins, nothing is ever overwritten, and a name that can be seen
holds all of its bytes.
"""

from skyloom.storage.digests import canonical_json, checksum_bytes, sha256_bytes, sha256_file
from skyloom.storage.log import read_log
from skyloom.storage.mending import mender_of
from skyloom.storage.names import check_location, check_name
from skyloom.storage.store import LocalStore, Log, Staged, Store, open_store
from skyloom.storage.upkeep import REMOVED, Found, Upkeep, upkeep_of

__all__ = [
    "REMOVED",
    "Found",
    "LocalStore",
    "Log",
    "Staged",
    "Store",
    "Upkeep",
    "canonical_json",
    "check_location",
    "check_name",
    "checksum_bytes",
    "mender_of",
    "open_store",
    "read_log",
    "sha256_bytes",
    "sha256_file",
    "upkeep_of",
]
