"""Probes of security, as far as there is something to probe.

=====================================  ==========================================================
probe                                  where
=====================================  ==========================================================
listeners, TLS, dashboards             here in short, `tests/cluster/test_security.py` at length
secrets in what is kept or sent        here
models that carry code                 here; more formats in `tests/models/test_weights.py`
names, configuration, directories      here
SQL                                    `tests/query/test_sandbox.py`, `tests/query/test_limits.py`
code that would execute what it reads  here, `tests/test_repository.py`
tampering                              here; every damage in `tests/engine/test_verify.py`
markup in terminal output              `tests/query/test_render.py`
archives                               not applicable: nothing opens one (here)
explorer, websockets                   `tests/explorer/test_page.py`
reports                                not yet applicable: there are none
containers, locked installs            not yet applicable: there are none
=====================================  ==========================================================
"""

from __future__ import annotations

import ast
import gzip
import io
import os
import pickle
import tarfile
import traceback
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

import skyloom
from skyloom.catalog.descriptor import load_descriptor
from skyloom.catalog.ingest import ImportSpec
from skyloom.catalog.spec import load_import_spec
from skyloom.cluster import ClusterSpec, make_certificates, resolve, start
from skyloom.errors import DataError, ErrorKind, SkyloomError, SpecError, TransientError, without_secrets
from skyloom.jobs import open_layer, verify_layer
from skyloom.jobs.spec import load_job, parse_job
from skyloom.models.weights import read_bundle
from skyloom.storage import LocalStore, open_store
from tests.cluster.test_security import LOOPBACK, listeners, refused, scheduler_of, spec_of
from tests.engine.finished import flip
from tests.faults import probe
from tests.models.test_weights import Evil, with_digest_of

HERE = ClusterSpec(kind="in-process")


@pytest.fixture
def bench(tmp_path, shared_tiny_catalog):
    return probe.Bench(tmp_path, shared_tiny_catalog)


# Secrets: a key in the environment is in nothing that is written, sent or printed.

CANARY = "canary+5up3r/s3cret="
SESSION = "canary.session.t0ken"


def everything_below(folder: Path) -> dict[str, bytes]:
    """Every file; Parquet also as its metadata, and gzip unpacked."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found[str(path)] = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        if path.suffix == ".parquet":
            metadata = pq.read_metadata(path)
            found[f"{path} metadata"] = repr(
                (metadata.metadata, metadata.schema.to_arrow_schema().metadata)
            ).encode()
    return found


@pytest.mark.cluster
def test_a_secret_is_in_nothing_that_a_run_leaves_behind(bench, monkeypatch, caplog, capfd):
    """Not even when the model puts it into its exception, and a partition fails with it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARYCANARY")
    before = listeners(psutil.Process())
    ids = [
        i
        for file in sorted(bench.catalog.rglob("Npix=*.parquet"))
        for i in pq.read_table(file, columns=["object_id"], partitioning=None)["object_id"].to_pylist()
    ]
    gate = bench.folder / "gate"
    gate.touch()
    leaky = {"raises": ids[:1], "says": "{AWS_SECRET_ACCESS_KEY} and {AWS_SESSION_TOKEN}",
             "blocks": ids[-1:], "blocked_by": str(gate)}  # fmt: skip
    texts = {}
    with start(ClusterSpec(workers=1, dashboard="127.0.0.1:0")) as running:
        assert {address for address, _ in listeners(psutil.Process()) - before} <= LOOPBACK
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(running.dashboard.replace("/status", "/api/v1/get_workers"), timeout=10)
        with pytest.raises(TransientError) as caught:
            bench.run(running, settings=leaky)
        texts["exception"] = "".join(traceback.format_exception(caught.value)) + repr(caught.value.context)
        assert "$AWS_SECRET_ACCESS_KEY" in caught.value.message
        gate.unlink()
        report = bench.run(running, settings=leaky)
        assert report.quarantined == 1
        running.client.dump_cluster_state(str(bench.folder / "dump"))
        texts["logs"] = f"{running.client.get_scheduler_logs()}{running.client.get_worker_logs(nanny=True)}"
        texts["events"] = repr(running.client.get_events())
    assert verify_layer("scores", bench.layers).ok
    texts["captured"] = caplog.text + "".join(capfd.readouterr())
    found = everything_below(bench.folder) | {name: text.encode() for name, text in texts.items()}
    kinds = (
        "job.json",
        "manifest.json",
        "provenance.json",
        "/records/",
        "/log/",
        "/refs/",
        "dump",
        "Npix=",
        "hats.p",
    )
    assert all(any(kind in name for name in found) for kind in kinds)
    for secret in (CANARY, SESSION):
        assert [name for name, data in found.items() if secret.encode() in data] == []
    faults = [
        data for name, data in found.items() if name.endswith("metadata") and b"$AWS_SECRET_ACCESS_KEY" in data
    ]
    assert len(faults) == 1, "what the model said is kept, with the name in place of the value"


@pytest.mark.parametrize("url", ["s3://me:{}@bucket/x", "s3://bucket/x?key={}", "https://h/x#{}"])
def test_a_location_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(SpecError) as store:
        open_store(url.format(CANARY))
    with pytest.raises(SpecError) as job:
        parse_job({"job": "j", "model": "m", "layer": "l", "input": {"catalog": url.format(CANARY)}}, where="test")
    for caught in (store, job):
        assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.context)


def test_only_values_of_secret_variables_are_struck_out():
    environment = {"AWS_SECRET_ACCESS_KEY": CANARY, "TOKEN_FILE": "/etc/token", "HOME": "/home/me", "API_KEY": "1"}
    text = f"/etc/token of /home/me in step 1 of {CANARY}"
    assert without_secrets(text, environment) == "/etc/token of /home/me in step 1 of $AWS_SECRET_ACCESS_KEY"


# Connections.


def test_another_machine_without_tls_is_refused_before_anything_connects():
    with pytest.raises(SpecError) as caught:
        resolve("tcp://10.0.0.5:8786")
    assert caught.value.kind == ErrorKind.INSECURE


@pytest.mark.cluster
def test_who_does_not_speak_tls_gets_no_answer(tmp_path, monkeypatch):
    with scheduler_of(make_certificates(tmp_path / "certs")) as address:
        assert refused(spec_of(address.replace("tls://", "tcp://")), monkeypatch, "no Dask scheduler answers") < 10


# Models that carry code.


def zipped(data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("data/sample_inputs/model.pt", data)
    return archive.getvalue()


def tarred(data: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        entry = tarfile.TarInfo("../../pickle")
        entry.size = len(data)
        file.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


EVIL = {
    "raw pickle": lambda data: data,
    "zip, TorchScript or pt2": zipped,
    "legacy tar": tarred,
    "header longer than the file": lambda _: (2**62).to_bytes(8, "little") + b"{}",
    "truncated": lambda _: save({"scale": np.ones(9)})[:-5],
}


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize("kind", EVIL)
def test_a_model_that_would_run_code_is_refused_and_does_not(bench, kind, name, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    mark = bench.folder / "executed"
    bundle = bench.bundles / "probe" / "one"
    with_digest_of(bundle, name, EVIL[kind](pickle.dumps(Evil(mark))))
    for read in (lambda: read_bundle(bundle), bench.plan):
        with pytest.raises(DataError) as caught:
            read()
        assert caught.value.kind == ErrorKind.BAD_WEIGHTS
        assert name in caught.value.message
    assert not mark.exists()


# Names.

NAMES = ["../x", "/abs", "a/b", "a\0b", "a\nb", "-rf", "x" * 300, ".", "..", ".hidden", "", "a b", "a;b", "$(id)"]
NAMES += ["\u202egpj", "x\u200by", "\uff41"]
JOB = {"job": "j", "model": "probe", "layer": "l", "input": {"catalog": "c"}}
TABLE = {"files": ["t.csv"], "id": "id"}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_more_than_a_name_is_refused_everywhere(bench, name):
    for key in ("job", "layer"):
        with pytest.raises(SpecError) as caught:
            parse_job({**JOB, key: name}, where="test")
        assert caught.value.kind == ErrorKind.BAD_NAME
    for key in ("model", "weights"):
        with pytest.raises(SkyloomError):
            bench.plan(**{key: name or "?"})
    for spec in (
        {"name": name, "objects": TABLE},
        {"name": "n", "objects": {"files": ["t.csv"], "row_number": name}},
        {"name": "n", "objects": TABLE, "sources": {"files": ["t.csv"], "id": "id", "column": name}},
    ):
        with pytest.raises(ValueError, match="pattern"):
            ImportSpec.model_validate(spec)
    with pytest.raises(SkyloomError):
        open_layer(name, bench.layers)
    assert not bench.layers.exists()
    assert not list(bench.folder.parent.glob("x*"))


@pytest.mark.parametrize("name", ["../x", "/abs", "a//b", "a\0b", "..", "a/../b"])
def test_no_name_leads_out_of_a_store(tmp_path, name):
    with pytest.raises(SpecError) as caught:
        LocalStore(tmp_path / "store").put_if_absent(name, b"")
    assert caught.value.kind == ErrorKind.BAD_NAME


def test_a_column_that_a_model_writes_has_a_name_like_any_other(bench, monkeypatch):
    column = probe.writes(None)[0]
    monkeypatch.setattr(probe, "writes", lambda config: (type(column)("../x", "", "d", "float32"),))
    with pytest.raises(SpecError, match=r"column name '\.\./x'"):
        bench.plan()


# Configuration, code, directories.


@pytest.mark.parametrize("load", [load_job, load_import_spec, load_descriptor, resolve])
def test_a_file_of_settings_is_data(tmp_path, load):
    mark = tmp_path / "executed"
    path = tmp_path / "evil.toml"
    path.write_text(f'!!python/object/apply:os.system ["touch {mark}"]\n')
    with pytest.raises(SpecError, match=r"evil\.toml"):
        load(path)
    assert not mark.exists()


PACKAGE = Path(skyloom.__file__).parent
PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "jsonpickle"}
FORBIDDEN_MODULES = PICKLES | {"zipfile", "tarfile", "patoolib", "py7zr", "rarfile"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "shutil.unpack_archive"}
FORBIDDEN_CALLS |= {"torch.load", "torch.jit.load", "torch.export.load", "pd.read_pickle"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_neither_executes_what_it_reads_nor_unpacks_archives(path):
    """The messages of Dask, which pickles, are the one exception: see the probes of its connections."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            assert not {module.split(".")[0] for module in modules} & FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS
            assert not {keyword.arg for keyword in node.keywords} & {"shell", "allow_pickle", "weights_only"}


@pytest.mark.parametrize("level", ["", "scores"])
def test_a_directory_that_everybody_may_write_into_is_refused(bench, level):
    folder = bench.layers / level
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(SpecError, match="everybody may write") as caught:
        bench.run(HERE)
    assert str(folder) in caught.value.message
    folder.chmod(0o755)
    assert bench.run(HERE).rows == 240


def test_directories_that_a_run_makes_are_not_open_whatever_the_umask(bench):
    before = os.umask(0)
    try:
        bench.run(HERE)
    finally:
        os.umask(before)
    found = [path for path in bench.layers.rglob("*") if path.stat().st_mode & 0o002]
    assert found == []


# Tampering.

KEPT = [
    "records/**/*.json",
    "manifest.json",
    "manifest.parquet",
    "job.json",
    "provenance.json",
    "dataset/**/*.parquet",
]


def test_one_changed_bit_anywhere_is_noticed(bench):
    bench.run(HERE)
    assert verify_layer("scores", bench.layers).ok
    files = [next(bench.layers.glob(f"scores/jobs/*/{name}")) for name in KEPT]
    for path in [*files, next(bench.layers.glob("scores/refs/v*.json"))]:
        whole = path.read_bytes()
        for at in (0.0, 0.2, 0.45, 0.7, 1.0):
            flip(path, at)
            try:
                found = verify_layer("scores", bench.layers).verification
                named = [d for d in found.differences if path.name in d.file or path.parent.name == "refs"]
            except SkyloomError as error:
                named = [error]
            assert named, (path.name, at)
            path.write_bytes(whole)
    assert verify_layer("scores", bench.layers).ok
