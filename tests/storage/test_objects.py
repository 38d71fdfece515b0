"""One contract for every store: the first writer wins, and what can be seen is whole."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skyloom.storage.requests
from skyloom.errors import ErrorKind, NotFoundError, SkyloomError, SpecError, StoreFullError, TransientError
from skyloom.storage import LocalStore, Store, open_store, read_log
from skyloom.storage.log import ChunkedLog
from skyloom.storage.objects import MAX_OBJECT_BYTES, ObjectStore
from skyloom.storage.requests import RequestFailedError, Requests
from skyloom.storage.s3 import endpoint_of, s3_client
from tests import seaweed, stub_s3
from tests.stub_s3 import Fault

KINDS = ["directory", "memory", "s3"]


@pytest.fixture
def clean_environment(monkeypatch, tmp_path):
    """No keys of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return monkeypatch


@pytest.fixture
def s3(clean_environment):
    for name, value in seaweed.server().environment().items():
        clean_environment.setenv(name, value)
    return clean_environment


@pytest.fixture(params=KINDS)
def reopen(request, tmp_path) -> Callable[[], Store]:
    """A maker of stores that all lie at one place."""
    if request.param == "directory":
        return lambda: LocalStore(tmp_path / "layers")
    if request.param == "memory":
        return partial(open_store, f"memory://{uuid.uuid4().hex}/layers")
    request.getfixturevalue("s3")
    return partial(open_store, f"s3://{seaweed.BUCKET}/{uuid.uuid4().hex}/layers")


@pytest.fixture
def store(reopen):
    store = reopen()
    store.make_directories(["a/Norder=1/Dir=0"])
    return store


NAME = "a/Norder=1/Dir=0/Npix=5.parquet"


def test_the_first_writer_wins(store, reopen):
    assert store.put_if_absent(NAME, b"first")
    assert not reopen().put_if_absent(NAME, b"second")
    assert not reopen().put_if_absent(NAME, b"first")
    assert reopen().read(NAME) == b"first"
    assert store.size(NAME) == 5


def test_of_sixteen_racing_writers_exactly_one_wins_each_name(reopen):
    names = [f"n{number}" for number in range(20)]

    def write(writer: int) -> list[tuple[str, bytes]]:
        store, mine = reopen(), b"%d" % writer
        return [(name, mine) for name in names if store.put_if_absent(name, mine)]

    reopen().make_directories(["a"])
    with ThreadPoolExecutor(16) as threads:
        won = [win for wins in threads.map(write, range(16)) for win in wins]
    assert sorted(name for name, _ in won) == sorted(names)
    assert all(reopen().read(name) == content for name, content in won)


def test_staged_bytes_are_unseen_until_they_are_committed(store):
    with store.stage(NAME) as staged:
        staged.file.write(b"half")
        assert store.names("a/Norder=1/Dir=0") == []
        assert not store.exists(NAME)
        staged.file.write(b" and half")
        assert staged.commit()
    assert store.read(NAME) == b"half and half"


def test_what_is_staged_and_not_committed_leaves_nothing(store):
    with pytest.raises(RuntimeError), store.stage(NAME) as staged:
        staged.file.write(b"half")
        raise RuntimeError
    assert store.names("a/Norder=1/Dir=0") == []


def test_names_are_those_directly_below(store):
    assert store.names("a/none") == []
    for name in ("a/refs/v2", "a/refs/v1", NAME, "a/refsother"):
        store.make_directories([name.rpartition("/")[0]])
        store.put_if_absent(name, b"1")
    assert store.names("a/refs") == ["v1", "v2"]
    assert store.names("a") == ["Norder=1", "refs", "refsother"]
    assert store.names("") == ["a"]


def test_a_missing_name_is_said_with_its_place(store):
    for ask in (store.read, store.open):
        with pytest.raises(NotFoundError, match="a/none") as caught:
            ask("a/none")
        assert caught.value.kind == ErrorKind.NO_SUCH_FILE
    assert not store.exists("a/none")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a//b", "a/./b", "a/../../x", "", "a/\0"])
def test_no_name_leads_out_of_the_store(store, name):
    for ask in (store.read, store.location, store.stage, store.exists):
        with pytest.raises(SpecError) as caught:
            ask(name)
        assert caught.value.kind == ErrorKind.BAD_NAME


def test_those_that_are_there_are_read_in_order(store):
    for number in range(0, 50, 2):
        store.put_if_absent(f"a/{number}", b"%d" % number)
    found = list(store.read_present(f"a/{number}" for number in range(50)))
    assert found == [(f"a/{number}", b"%d" % number) for number in range(0, 50, 2)]


def test_parts_of_a_parquet_file_can_be_read(store):
    table = pa.table({"id": range(100_000), "flux": [float(i) for i in range(100_000)]})
    with store.stage(NAME) as staged:
        pq.write_table(table, staged.file)
        staged.commit()
    with store.open(NAME) as file:
        assert pq.read_table(file, columns=["flux"]).equals(table.select(["flux"]))


def test_a_suitable_store_is_not_refused_and_keeps_no_trace(store):
    before = store.names("")
    store.probe()
    assert store.names("") == before


def test_a_store_is_the_same_in_another_process(store, reopen):
    if store.root.startswith("memory:"):
        pytest.skip("memory is of one process")
    store.put_if_absent(NAME, b"here")
    script = f"from skyloom.storage import open_store; print(open_store({store.root!r}).read({NAME!r}).decode())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert found.stdout == b"here\n"


def test_a_location_opens_the_store_again(store, reopen):
    store.put_if_absent(NAME, b"here")
    assert open_store(store.location("a")).read(NAME.removeprefix("a/")) == b"here"
    assert store.location(NAME).startswith(store.root)


def test_a_log_is_read_back_as_it_was_written(store):
    store.make_directories(["a/log"])
    for run in ("1", "2"):
        log = store.log(f"a/log/{run}.jsonl")
        for number in range(100):
            log.write(json.dumps({"run": run, "number": number}) + "\n")
        log.close()
    lines = [json.loads(line) for line in read_log(store, "a/log")]
    assert [(line["run"], line["number"]) for line in lines] == [(r, n) for r in "12" for n in range(100)]


# Object stores alone: what the network does.


class Flaky(Requests):
    """Fails at some writes: before or after the store has taken them."""

    def __init__(self, inner: Requests, faults) -> None:
        self.inner, self.faults, self.creates = inner, list(faults), 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def create(self, key, data, attempt):
        self.creates += 1
        when, status, code = self.faults.pop(0) if self.faults else ("", 0, "")
        if when == "before":
            raise RequestFailedError(status, code)
        self.inner.create(key, data, attempt)
        if when == "after":
            raise RequestFailedError(status, code)

    def attempt(self, key):
        return self.inner.attempt(key)


def flaky(*faults, waits_s=(0.0,) * 5) -> ObjectStore:
    memory = open_store(f"memory://{uuid.uuid4().hex}/layers")
    return ObjectStore(memory.root, Flaky(memory.requests, faults), waits_s=waits_s)


MOMENT = [(409, "ConditionalRequestConflict"), (412, ""), (429, ""), (500, ""), (503, "SlowDown"), (0, "Timeout")]


@pytest.mark.parametrize(("status", "code"), MOMENT)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_writer_whose_answer_was_lost_still_learns_that_it_won(status, code, when, times):
    store = flaky(*[(when, status, code)] * times)
    assert store.put_if_absent("x", b"mine")
    assert store.read("x") == b"mine"
    assert store.requests.creates == (1 if when == "after" else times + 1)


@pytest.mark.parametrize(("status", "code"), MOMENT)
def test_a_writer_whose_answer_was_lost_learns_that_another_won(status, code):
    store = flaky(("", 0, ""), ("before", status, code))
    assert store.put_if_absent("x", b"first")
    assert not store.put_if_absent("x", b"second")
    assert store.read("x") == b"first"


@pytest.mark.parametrize("content", [b"first", b"second"])
def test_equal_content_is_not_taken_for_a_win(content):
    # Two attempts at one partition often write the same bytes; only one may count as the winner.
    store = flaky(("", 0, ""), ("before", 0, "Timeout"))
    store.put_if_absent("x", b"first")
    assert not store.put_if_absent("x", content)


def test_a_store_that_never_answers_lets_nobody_win_and_deletes_nothing():
    store = flaky(*[("before", 503, "SlowDown")] * 99)
    with pytest.raises(TransientError, match="503 SlowDown") as caught:
        store.put_if_absent("x", b"1")
    assert caught.value.kind == ErrorKind.STORE_UNREACHABLE
    assert store.requests.creates == 6
    assert not store.exists("x")


@pytest.mark.parametrize(
    ("status", "code", "error", "kind", "said"),
    [
        (507, "", StoreFullError, ErrorKind.STORE_FULL, "no room"),
        (500, "XMinioStorageFull", StoreFullError, ErrorKind.STORE_FULL, "no room"),
        (403, "QuotaExceeded", StoreFullError, ErrorKind.STORE_FULL, "quota"),
        (403, "AccessDenied", SpecError, ErrorKind.STORE_DENIED, "AWS_ACCESS_KEY_ID"),
        (401, "NoCredentials", SpecError, ErrorKind.STORE_DENIED, "NoCredentials"),
        (400, "ExpiredToken", SpecError, ErrorKind.STORE_DENIED, "ExpiredToken"),
        (404, "NoSuchBucket", SpecError, ErrorKind.STORE_UNSUITABLE, "create it"),
        (413, "", SpecError, ErrorKind.STORE_UNSUITABLE, "smaller partitions"),
        (501, "NotImplemented", SpecError, ErrorKind.STORE_UNSUITABLE, "choose another store"),
    ],
)
def test_a_refusal_that_no_retry_changes_is_said_at_once(status, code, error, kind, said):
    store = flaky(("before", status, code))
    with pytest.raises(error, match=said) as caught:
        store.put_if_absent("x", b"1")
    assert caught.value.kind == kind
    assert store.requests.creates == 1
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_more_than_one_put_takes_is_refused_with_the_way_out():
    class Huge(bytes):
        def __len__(self):
            return MAX_OBJECT_BYTES + 1

    with pytest.raises(SpecError, match="smaller partition") as caught:
        flaky().put_if_absent("x", Huge())
    assert caught.value.kind == ErrorKind.PLAN_TOO_LARGE


def test_a_log_that_cannot_be_saved_now_is_saved_later_and_stops_nobody():
    store = flaky(*[("before", 503, "")] * 6)
    log = ChunkedLog(store, "log/run.jsonl")
    log.write("1" * (1 << 20) + "\n")
    log.write("2\n")
    log.close()
    assert [line[0] for line in read_log(store, "log")] == ["1", "2"]
    assert store.names("log") == ["run.00000.jsonl"]


# The same on the wire: what the client makes of a server's answers is a fact to test, not to believe.


@pytest.fixture
def stub(clean_environment):
    clean_environment.setattr(
        skyloom.storage.requests, "WRITE_S", -15.5
    )  # plus 16 for up to 16 MiB: half a second
    with stub_s3.running() as stub:
        clean_environment.setenv("AWS_ENDPOINT_URL", stub.endpoint)
        clean_environment.setenv("AWS_ACCESS_KEY_ID", "key")
        clean_environment.setenv("AWS_SECRET_ACCESS_KEY", seaweed.SECRET_KEY)
        yield stub


def stubbed() -> ObjectStore:
    return ObjectStore("s3://sky/layers", Requests(partial(s3_client, "sky")), waits_s=(0.0,) * 5)


WIRE = {
    "conflict": Fault(409, code="ConditionalRequestConflict"),
    "exists, though it does not": Fault(412, code="PreconditionFailed"),
    "slow down": Fault(503, code="SlowDown"),
    "broken": Fault(500, code="InternalError"),
    "dropped": Fault(0),
    "dropped after success": Fault(0, stored=True),
    "refused after success": Fault(503, stored=True),
    "exists, by its own retry": Fault(412, stored=True),
    "conflict with itself": Fault(409, stored=True),
    "success without a tag": Fault(200, stored=True, etag=False),
    "hangs before": Fault(0, wait_s=1.0),
    "hangs after success": Fault(0, stored=True, wait_s=1.0),
}


@pytest.mark.parametrize("what", WIRE)
def test_whatever_happens_to_a_put_its_writer_learns_the_truth(stub, what):
    stub.faults = [WIRE[what]]
    store = stubbed()
    assert store.put_if_absent("x", b"mine")
    assert stub.puts == (1 if WIRE[what].stored else 2)
    stub.faults = [WIRE[what]]
    assert not store.put_if_absent("x", b"other")
    assert store.read("x") == b"mine"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(403, code="SignatureDoesNotMatch"), ErrorKind.STORE_DENIED),
        (Fault(401), ErrorKind.STORE_DENIED),
        (Fault(404, code="NoSuchBucket"), ErrorKind.STORE_UNSUITABLE),
        (Fault(501, code="NotImplemented"), ErrorKind.STORE_UNSUITABLE),
        (Fault(507), ErrorKind.STORE_FULL),
        (Fault(500, code="XMinioStorageFull"), ErrorKind.STORE_FULL),
    ],
)
def test_a_refusal_names_the_way_out_and_no_key(stub, fault, kind):
    stub.faults = [fault]
    with pytest.raises(SkyloomError) as caught:
        stubbed().put_if_absent("x", b"1")
    assert caught.value.kind == kind
    assert "AWS4-HMAC" not in everything_said(caught.value)
    assert seaweed.SECRET_KEY not in everything_said(caught.value)


def everything_said(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error)) + repr(getattr(error, "context", ""))


@pytest.mark.parametrize("flaw", ["conditional", "metadata"])
def test_a_store_that_does_not_honour_the_protocol_is_refused_before_work_starts(stub, flaw):
    setattr(stub, flaw, False)
    with pytest.raises(SpecError, match="does not honour conditional writes") as caught:
        stubbed().probe()
    assert caught.value.kind == ErrorKind.STORE_UNSUITABLE
    assert stub.objects == {}


def test_nobody_listening_is_a_fault_of_the_moment(clean_environment):
    clean_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    clean_environment.setenv("AWS_ACCESS_KEY_ID", "key")
    clean_environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(TransientError, match="no answer"):
        stubbed().put_if_absent("x", b"1")


# A real server: keys and where they come from.


def test_wrong_keys_are_refused_by_name(s3):
    s3.setenv("AWS_SECRET_ACCESS_KEY", "wrong-canary")
    store = open_store(f"s3://{seaweed.BUCKET}/x")
    for ask in (partial(store.put_if_absent, "x", b"1"), partial(store.read, "x"), partial(store.names, "x")):
        with pytest.raises(SpecError, match="AWS_SECRET_ACCESS_KEY") as caught:
            ask()
        assert caught.value.kind == ErrorKind.STORE_DENIED
        assert "wrong-canary" not in everything_said(caught.value)


def test_keys_come_from_a_profile_where_the_environment_has_none(s3, tmp_path):
    pytest.importorskip("botocore")
    s3.delenv("AWS_ACCESS_KEY_ID")
    s3.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "keys").write_text(
        f"[survey]\naws_access_key_id = {seaweed.ACCESS_KEY}\naws_secret_access_key = {seaweed.SECRET_KEY}\n"
    )
    s3.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    s3.setenv("AWS_PROFILE", "survey")
    store = open_store(f"s3://{seaweed.BUCKET}/{uuid.uuid4().hex}")
    assert store.put_if_absent("x", b"1")
    assert seaweed.SECRET_KEY not in repr(store) + repr(vars(store))


@pytest.mark.parametrize(
    "url",
    [
        "s3://canary:canary@bucket/layers",
        "s3://canary@bucket/layers",
        "s3://bucket/layers?AWS_SECRET_ACCESS_KEY=canary",
        "s3://bucket/layers#canary",
        "https://canary:canary@host/layers",
    ],
)
def test_a_url_with_a_secret_in_it_is_refused_and_not_repeated(url):
    with pytest.raises(SpecError, match="AWS_ACCESS_KEY_ID") as caught:
        open_store(url)
    assert "canary" not in everything_said(caught.value).replace(url, "")


@pytest.mark.parametrize("url", ["s3://", "s3:///layers", "s3://bucket/a/../b", "ftp://somewhere/layers"])
def test_a_url_that_names_no_store_is_refused(url):
    with pytest.raises(SpecError):
        open_store(url)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://s3.example.org", "in the clear"),
        ("https://user:canary@s3.example.org", "not the address"),
        ("s3.example.org", "not the address"),
    ],
)
def test_an_endpoint_that_would_leak_is_refused(endpoint, said):
    with pytest.raises(SpecError, match=said) as caught:
        endpoint_of({"AWS_ENDPOINT_URL": endpoint})
    assert "canary" not in caught.value.message


def test_an_endpoint_on_this_machine_or_with_tls_is_taken():
    assert endpoint_of({}) is None
    for endpoint in ("http://127.0.0.1:8333", "http://localhost:8333", "https://s3.example.org"):
        assert endpoint_of({"AWS_ENDPOINT": endpoint}) == endpoint
    assert endpoint_of({"AWS_ENDPOINT_URL": "http://ceph", "AWS_ALLOW_HTTP": "true"}) == "http://ceph"


def test_opening_a_store_connects_to_nothing(clean_environment):
    clean_environment.setenv("AWS_ENDPOINT_URL", "https://192.0.2.1")
    started = time.perf_counter()
    assert open_store("s3://bucket/layers/").root == "s3://bucket/layers"
    assert time.perf_counter() - started < 5


def test_the_client_is_imported_only_where_it_is_used():
    script = (
        "import sys, skyloom.storage, skyloom.engine; print('obstore' in sys.modules, 'botocore' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert found.stdout == b"False False\n"
