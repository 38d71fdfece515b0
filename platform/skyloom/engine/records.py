"""Record: proof that one partition's output is complete and durable."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from skyloom.errors import DataError, ErrorKind
from skyloom.storage import canonical_json, checksum_bytes

__all__ = ["Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """What was committed for one partition. Created once, after its data file.

    Everything but `attempt` is a function of the data file alone.
    """

    job_id: str
    key: str
    input_digest: str
    rows: int
    size_bytes: int
    sha256: str
    checksum: str
    """Of the same bytes, cheaper: what the seal compares with the disk."""
    row_keys: str
    """Digest over the row keys, in row order; equals that of the input."""
    columns: str
    """Digest over all values: equal for equal output, whatever wrote the Parquet file."""
    flagged: int
    """Rows whose flag column is not zero."""
    quarantined: int
    """Rows that the model raised on, or that killed it."""
    attempt: str
    """Which attempt wrote the record; for diagnosis only."""
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Rows counted by the processor; not in the text where there are none, so that older records stay."""

    def to_json(self) -> bytes:
        """Return the canonical text of the record, with a checksum of the rest as its last value."""
        said = {name: getattr(self, name) for name in self.__slots__ if name != "counts" or self.counts}
        text = canonical_json(said)
        return text[:-1] + _ending(text)

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Self:
        """Read a record.

        Raises
        ------
        DataError
            If `data` is not a record, or not as it was written; `where` names its file.
        """
        text = data[: data.rfind(_LAST)] + b"}"
        if data != text[:-1] + _ending(text):
            msg = f"{where} is no commit record, or a damaged one; remove it and run the same command again"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, where=where)
        try:
            values = json.loads(text)
            return cls(**{**values, "job_id": sys.intern(values["job_id"])})
        except (ValueError, TypeError, KeyError) as error:
            msg = f"{where} is no commit record ({error}); remove it and run the same command again"
            raise DataError(msg, kind=ErrorKind.BAD_FILE, where=where) from error


_LAST = b',"xxh3":'


def _ending(text: bytes) -> bytes:
    return _LAST + canonical_json(checksum_bytes(text).removeprefix("xxh3:")) + b"}"
