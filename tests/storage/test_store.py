"""The one write primitive: the first writer wins, and what can be seen is whole."""

from __future__ import annotations

import errno
import multiprocessing
import os

import pytest

from skyloom.errors import ErrorKind, NotFoundError, SpecError, StoreFullError, TransientError
from skyloom.storage import LocalStore, open_store
from skyloom.storage.files import Files


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path)
    store.make_directories(["a/b"])
    return store


def test_the_first_writer_wins(store):
    assert store.put_if_absent("a/b/x", b"first")
    assert not store.put_if_absent("a/b/x", b"second")
    assert store.read("a/b/x") == b"first"


def test_nothing_is_left_behind(store):
    store.put_if_absent("a/b/x", b"first")
    store.put_if_absent("a/b/x", b"second")
    with pytest.raises(RuntimeError), store.stage("a/b/y") as staged:
        staged.file.write(b"half")
        raise RuntimeError
    assert os.listdir(store.path("a/b")) == ["x"]


def test_staged_bytes_are_unseen_until_they_are_committed(store):
    with store.stage("a/b/x") as staged:
        staged.file.write(b"half")
        assert store.names("a/b") == []
        assert not store.exists("a/b/x")
        staged.commit()
    assert store.names("a/b") == ["x"]


def _race(root, number, results):
    store = LocalStore(root)
    results.put([(name, number) for name in range(50) if store.put_if_absent(f"n{name}", b"%d" % number)])


def test_of_many_processes_exactly_one_wins_each_name(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, i, results)) for i in range(8)]
    for racer in racers:
        racer.start()
    wins = [win for _ in racers for win in results.get(timeout=60)]
    for racer in racers:
        racer.join()
    assert sorted(name for name, _ in wins) == list(range(50))
    store = LocalStore(tmp_path)
    assert all(store.read(f"n{name}") == b"%d" % number for name, number in wins)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a//b", "a/./b", "a/../../x", "", "a/\0"])
def test_no_name_leads_out_of_the_store(store, name):
    with pytest.raises(SpecError) as caught:
        store.path(name)
    assert caught.value.kind == ErrorKind.BAD_NAME


class Traced(Files):
    """Notes the order of the calls."""

    def __init__(self):
        self.calls = []

    def sync(self, file):
        self.calls.append("sync")
        super().sync(file)

    def link(self, source, target):
        self.calls.append("link")
        super().link(source, target)

    def sync_directory(self, path):
        self.calls.append("sync-directory")
        super().sync_directory(path)


@pytest.mark.parametrize("taken", [False, True])
def test_bytes_are_durable_before_the_name_and_the_name_before_the_answer(tmp_path, taken):
    if taken:
        LocalStore(tmp_path).put_if_absent("x", b"1")
    files = Traced()
    LocalStore(tmp_path, files).put_if_absent("x", b"2")
    assert files.calls == ["sync", "link", "sync-directory"]


class Failing(Files):
    """Fails at one call."""

    def __init__(self, call, code):
        self.call, self.code = call, code

    def __getattribute__(self, name):
        if name not in {"call", "code"} and name == self.call:
            raise OSError(self.code, os.strerror(self.code))
        return super().__getattribute__(name)


@pytest.mark.parametrize("call", ["create", "sync", "close", "link"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failing_disk_leaves_no_name_and_the_right_error(tmp_path, call, code):
    store = LocalStore(tmp_path, Failing(call, code))
    with pytest.raises(TransientError) as caught:
        store.put_if_absent("x", b"1")
    assert isinstance(caught.value, StoreFullError) == (code != errno.EIO)
    assert not store.exists("x")
    assert os.listdir(tmp_path) == []


class LostReply(Files):
    """A network file system whose answer to a link that succeeded got lost."""

    def link(self, source, target):
        super().link(source, target)
        raise OSError(errno.EIO, "reply lost")


def test_a_link_whose_reply_was_lost_counts_as_won(tmp_path):
    assert LocalStore(tmp_path, LostReply()).put_if_absent("x", b"1")


class RenamingOnly(Files):
    """A file system without hard links."""

    def link(self, source, target):
        raise OSError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_hard_links_is_refused_before_work_starts(tmp_path):
    with pytest.raises(SpecError) as caught:
        LocalStore(tmp_path, RenamingOnly()).probe()
    assert caught.value.kind == ErrorKind.STORE_UNSUITABLE
    LocalStore(tmp_path).probe()
    assert os.listdir(tmp_path) == []


def test_a_missing_name_is_said_with_its_path(store):
    with pytest.raises(NotFoundError, match="a/b/none"):
        store.read("a/b/none")


def test_a_store_that_does_not_exist_yet_is_refused_by_scheme(tmp_path):
    assert open_store(tmp_path).root == str(tmp_path)
    assert open_store(f"file://{tmp_path}").root == str(tmp_path)
    with pytest.raises(SpecError, match="ftp://"):
        open_store("ftp://somewhere/layers")


class Syncing(Files):
    """Notes which directories were synced."""

    def __init__(self):
        self.synced = []

    def sync_directory(self, path):
        self.synced.append(path)
        super().sync_directory(path)


def test_directories_are_made_durable_also_by_who_finds_them(tmp_path):
    # Who made them may have died before it synced their names; then files in them would vanish with them.
    root = tmp_path / "layers"
    LocalStore(root).make_directories(["a/b", "a/c"])
    files = Syncing()
    LocalStore(root, files).make_directories(["a/b", "a/c"])
    assert {tmp_path, root, root / "a"} <= set(files.synced)


@pytest.mark.parametrize(("code", "obstacle"), [(errno.EACCES, False), (errno.EINVAL, False), (errno.EIO, True)])
def test_a_closed_directory_above_the_store_is_no_obstacle(tmp_path, code, obstacle):
    class Above(Files):
        def sync_directory(self, path):
            if path == tmp_path.parent:
                raise OSError(code, os.strerror(code))
            super().sync_directory(path)

    store = LocalStore(tmp_path, Above())
    if obstacle:
        with pytest.raises(TransientError):
            store.make_directories(["a"])
    else:
        store.make_directories(["a"])
        assert (tmp_path / "a").is_dir()


def test_a_log_whose_directory_was_removed_says_to_run_again(tmp_path):
    with pytest.raises(TransientError, match="run the same command again"):
        LocalStore(tmp_path).log("gone/log.jsonl")
