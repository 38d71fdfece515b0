"""Mutated files, read as a worker reads them: refused with an error of ours, or read; never a crash."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from skyloom.errors import SkyloomError
from tests.faults.children import CONTEXT
from tests.tiny_catalogs import write_tiny_catalog

__all__ = ["Fuzzed", "fuzz", "mutated"]

BATCH = 50
PATIENCE_S = 120.0
KINDS = ("catalog partition", "layer partition", "weights")


@dataclass
class Fuzzed:
    """How many mutated files were read, and how."""

    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(self.outcomes.items()))
        return f"{self.outcomes.total()} mutated files: {counts}; {len(self.violations)} violations"


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change some bytes, mostly in header and footer, or cut or lengthen the file."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        ends = chance.choice((16, 200, 2_000, len(found)))
        at = chance.randrange(min(ends, len(found)))
        byte = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        found[at if chance.random() < 0.5 else len(found) - 1 - at] = byte
    how = chance.random()
    if how < 0.1:
        del found[chance.randrange(len(found)) :]
    elif how < 0.2:
        at = chance.randrange(len(found))
        found[at:at] = chance.randbytes(chance.randrange(1, 64))
    return bytes(found)


def fuzz(count: int, *, seed: int) -> Fuzzed:
    """Read `count` mutated files in child processes.

    It is a violation if a child dies of one, is silent for two minutes, or raises what is no error of ours.
    """
    found = Fuzzed()
    with tempfile.TemporaryDirectory(prefix="skyloom-fuzz-") as name:
        folder = Path(name)
        _originals(folder)
        todo = list(range(count))
        while todo:
            batch, todo = todo[:BATCH], todo[BATCH:]
            while batch:
                outcomes = _read_all(folder, batch, seed)
                found.outcomes.update(what for _, what in outcomes)
                batch = batch[len(outcomes) :]
                if batch:
                    which = f"mutated file {batch[0]} of seed {seed} ({_kind(batch[0])})"
                    found.violations.append(f"{which} ended its process")
                    found.outcomes["crashed"] += 1
                    batch = batch[1:]
                for n, what in outcomes:
                    if what.startswith("raised"):
                        found.violations.append(f"mutated file {n} of seed {seed} ({_kind(n)}) {what}")
    return found


def _kind(n: int) -> str:
    return KINDS[n % len(KINDS)]


def _originals(folder: Path) -> None:
    from skyloom.models.weights import write_bundle
    from skyloom.storage import LocalStore
    from tests.engine import toy
    from tests.engine.finished import finish
    from tests.models.test_weights import ARRAYS, CARD_IN

    write_tiny_catalog(folder / "catalog", rows=120)
    finish(toy.plan(2, faulty=[1]), LocalStore(folder / "layers"))
    write_bundle(folder / "toy" / "one", CARD_IN, ARRAYS)


def _read_all(folder: Path, numbers: list[int], seed: int) -> list[tuple[int, str]]:
    ours, theirs = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_reader, args=(str(folder), numbers, seed, theirs))
    child.start()
    theirs.close()
    outcomes = []
    try:
        while len(outcomes) < len(numbers) and ours.poll(PATIENCE_S):
            outcomes.append(ours.recv())
    except EOFError:
        pass
    child.kill()
    child.join()
    return outcomes


def _reader(folder: str, numbers: list[int], seed: int, answer: Connection) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for n in numbers:
        try:
            _read(Path(folder), _kind(n), random.Random(f"{seed}-{n}"))
            what = "read"
        except (SkyloomError, MemoryError) as error:
            what = f"refused ({type(error).__name__})"
        except Exception as error:  # what a worker would report as a bug of ours
            what = f"raised {type(error).__name__}"
        answer.send((n, what))


def _read(folder: Path, kind: str, chance: random.Random) -> None:
    if kind == "catalog partition":
        _read_catalog(folder, chance)
    elif kind == "layer partition":
        from skyloom.engine import partition_file

        path = next((folder / "layers").rglob("dataset/**/Npix=1.parquet"))
        _ = partition_file.inspect(mutated(path.read_bytes(), chance), where=str(path)).faults
    else:
        _read_weights(folder, chance)


def _read_catalog(folder: Path, chance: random.Random) -> None:
    """Open a catalog of which one partition is damaged, and read that one: footer first, then pages."""
    from skyloom.catalog import open_catalog
    from skyloom.catalog.partition import read_partition

    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name, "catalog")
        shutil.copytree(folder / "catalog", root)
        path = chance.choice(sorted(root.rglob("Npix=*.parquet")))
        path.write_bytes(mutated(path.read_bytes(), chance))
        catalog = open_catalog(root)
        for partition in catalog.partitions():
            if path.name == f"{partition.key.rpartition('/')[2]}.parquet":
                read_partition(catalog.root, partition, None, schema=catalog.schema)


def _read_weights(folder: Path, chance: random.Random) -> None:
    """Read weights that their card vouches for, so that the header itself has to be refused."""
    from skyloom.models.weights import read_bundle
    from tests.models.test_weights import with_digest_of

    with tempfile.TemporaryDirectory(dir=folder) as name:
        bundle = Path(name, "toy", "one")
        shutil.copytree(folder / "toy" / "one", bundle)
        file = "model.safetensors"
        with_digest_of(bundle, file, mutated((bundle / file).read_bytes(), chance))
        read_bundle(bundle)
