"""The label store: append-only, durable, safe with many writers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skyloom.active import LabelStore
from skyloom.active.labels import SCHEMA, to_table
from skyloom.active.records import Label, decisions
from skyloom.cli import main
from skyloom.errors import DataError, ErrorKind, NotFoundError, SpecError, StoreFullError
from skyloom.storage import LocalStore, open_store
from skyloom.storage.files import Files


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "labels").iterdir()}


def test_what_was_added_is_there_for_the_next_reader(tmp_path):
    added = LabelStore.open(tmp_path).add(615, "anomaly", "ann", "two peaks", column="pct", score=99.5)
    (found,) = LabelStore.open(tmp_path).labels()
    assert found == added
    assert (found.object_id, found.label, found.by, found.comment) == (615, "anomaly", "ann", "two peaks")
    assert (found.column, found.score, found.number) == ("pct", 99.5, 1)


def test_a_label_says_when_in_utc(tmp_path):
    said = datetime.fromisoformat(LabelStore.open(tmp_path).add(1, "normal", "ann").utc)
    assert said.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - said) < timedelta(minutes=1)


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(NotFoundError, match="no folder"):
        LabelStore.open(tmp_path / "layerz")
    assert not (tmp_path / "layerz").exists()


def test_opening_and_reading_write_nothing(tmp_path):
    store = LabelStore.open(tmp_path)
    assert (store.labels(), store.history(), store.decisions(), store.digest()) == ([], [], {}, "")
    assert list(tmp_path.iterdir()) == []


def test_undo_takes_back_the_persons_own_last_label_and_then_the_one_before(tmp_path):
    store = LabelStore.open(tmp_path)
    store.add(1, "anomaly", "ann")
    store.add(2, "normal", "ann")
    store.add(3, "normal", "ben")
    assert store.undo("ann").object_id == 2
    assert store.undo("ann").object_id == 1
    assert store.undo("ann") is None
    assert [label.object_id for label in store.labels()] == [3]


def test_an_undone_relabelling_brings_the_first_label_back(tmp_path):
    store = LabelStore.open(tmp_path)
    store.add(1, "anomaly", "ann")
    store.add(1, "normal", "ann")
    assert [label.label for label in store.labels()] == ["normal"]
    store.undo("ann")
    assert [label.label for label in store.labels()] == ["anomaly"]


def test_nothing_is_ever_deleted_or_rewritten(tmp_path):
    store = LabelStore.open(tmp_path)
    store.add(1, "anomaly", "ann")
    before = files_of(tmp_path)
    store.add(1, "normal", "ann")
    store.undo("ann")
    after = files_of(tmp_path)
    assert {name: after[name] for name in before} == before
    assert [record.kind for record in store.history()] == ["label", "label", "undo"]


def test_an_undo_takes_back_what_the_person_said_elsewhere_meanwhile(tmp_path):
    here, elsewhere = LabelStore.open(tmp_path), LabelStore.open(tmp_path)
    here.add(1, "normal", "ann")
    elsewhere.add(2, "normal", "ann")
    assert here.undo("ann").object_id == 2


def test_an_undo_with_nothing_to_take_back_leaves_no_record(tmp_path):
    assert LabelStore.open(tmp_path).undo("ann") is None
    assert LabelStore.open(tmp_path).history() == []


def test_each_record_is_one_line_of_json(tmp_path):
    LabelStore.open(tmp_path).add(2**63 - 1, "sn-ia", "ann", 'said "ok"\nthen left')
    (data,) = files_of(tmp_path).values()
    assert data.count(b"\n") == 1
    assert json.loads(data)["object_id"] == 2**63 - 1


def test_two_writers_lose_nothing_and_share_no_number(tmp_path):
    def write(k: int) -> None:
        store = LabelStore.open(tmp_path)
        for i in range(10):
            store.add(100 * k + i, "normal", f"person-{k}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    records = LabelStore.open(tmp_path).history()
    assert [record.number for record in records] == list(range(1, 41))
    assert {record.object_id for record in records} == {100 * k + i for k in range(4) for i in range(10)}


def test_a_store_that_is_open_sees_what_others_add(tmp_path):
    ours, theirs = LabelStore.open(tmp_path), LabelStore.open(tmp_path)
    ours.add(1, "normal", "ann")
    theirs.add(2, "normal", "ben")
    assert [label.object_id for label in ours.labels()] == [1, 2]


@pytest.mark.parametrize(
    ("failpoint", "kept"),
    [("before-sync", 1), ("before-link", 1), ("after-link", 2), ("after-directory-sync", 2)],
)
def test_a_writer_that_is_killed_leaves_the_whole_record_or_none(tmp_path, failpoint, kept):
    LabelStore.open(tmp_path).add(1, "normal", "ann")
    code = (
        "import sys; from skyloom.active import LabelStore; LabelStore.open(sys.argv[1]).add(2, 'anomaly', 'ben')"
    )
    env = {**os.environ, "SKYLOOM_FAILPOINT": failpoint, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=False)
    assert died.returncode == -9
    store = LabelStore.open(tmp_path)
    assert len(store.history()) == kept
    assert store.add(3, "normal", "ann").number == kept + 1


def test_a_full_disk_records_nothing(tmp_path):
    class Full(Files):
        def sync(self, file):
            raise OSError(28, "No space left on device")

    store = LabelStore(LocalStore(tmp_path, files=Full()), "labels")
    with pytest.raises(StoreFullError):
        store.add(1, "normal", "ann")
    assert LabelStore.open(tmp_path).history() == []


@pytest.mark.parametrize("change", ["edit", "remove", "garbage"])
def test_a_record_that_was_changed_or_removed_is_noticed(tmp_path, change):
    store = LabelStore.open(tmp_path)
    for i in range(3):
        store.add(i, "normal", "ann")
    path = tmp_path / "labels" / "00000002.json"
    data = path.read_bytes()
    path.unlink()
    if change == "edit":
        path.write_bytes(data.replace(b'"normal"', b'"anomaly"'))
    elif change == "garbage":
        path.write_bytes(data[:20])
    with pytest.raises(DataError, match="restore"):
        LabelStore.open(tmp_path).history()


def test_the_newest_record_that_vanishes_under_an_open_store_is_noticed(tmp_path):
    store = LabelStore.open(tmp_path)
    store.add(1, "normal", "ann")
    (tmp_path / "labels" / "00000001.json").unlink()
    with pytest.raises(DataError, match="never deleted"):
        store.history()


def test_the_digest_changes_with_every_record(tmp_path):
    store = LabelStore.open(tmp_path)
    digests = [store.digest()]
    for step in (lambda: store.add(1, "normal", "ann"), lambda: store.undo("ann")):
        step()
        digests.append(store.digest())
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "SN Ia"},
        {"by": "ann@example.org"},
        {"by": ""},
        {"object_id": 2**63},
        {"object_id": ""},
        {"object_id": "two\nlines"},
        {"object_id": "x" * 201},
        {"comment": "x" * 2001},
        {"score": float("nan")},
    ],
)
def test_what_cannot_be_recorded_is_refused_and_nothing_is_written(tmp_path, wrong):
    with pytest.raises(SpecError):
        LabelStore.open(tmp_path).add(**{"object_id": 1, "label": "normal", "by": "ann", **wrong})
    assert LabelStore.open(tmp_path).history() == []


def test_a_persons_name_that_is_refused_asks_for_a_pseudonym(tmp_path):
    with pytest.raises(SpecError, match="pseudonym") as caught:
        LabelStore.open(tmp_path).add(1, "normal", "ann@example.org")
    assert caught.value.kind is ErrorKind.BAD_NAME


def test_most_people_decide_and_of_equally_many_who_spoke_last():
    def said(*pairs):
        utc = "2026-01-01T00:00:00+00:00"
        return decisions(Label(1, label, by, utc, number=n) for n, (by, label) in enumerate(pairs, 1))[1]

    assert said(("a", "normal"), ("b", "normal"), ("c", "anomaly")) == "normal"
    assert said(("a", "normal"), ("b", "anomaly")) == "anomaly"
    assert said(("a", "anomaly"), ("b", "normal"), ("a", "normal")) == "normal"


def test_the_same_store_lies_on_an_object_store():
    place = open_store("memory://labels-on-objects")
    first, second = LabelStore(place, "flares/labels"), LabelStore(place, "flares/labels")
    first.add(1, "anomaly", "ann")
    second.add(2, "normal", "ben")
    first.undo("ann")
    assert [label.object_id for label in second.labels()] == [2]


def test_an_exported_table_has_every_record_typed(tmp_path):
    store = LabelStore.open(tmp_path)
    store.add(1, "anomaly", "ann", score=2.5, column="pct")
    store.undo("ann")
    table = to_table(store.history())
    assert table.schema == SCHEMA
    assert table["undoes"].to_pylist() == [0, 1]
    assert table["utc"][0].as_py().isoformat(timespec="milliseconds") == store.history()[0].utc


def test_texts_are_ids_too_and_a_number_is_not_the_text_of_it(tmp_path):
    store = LabelStore.open(tmp_path)
    for object_id in ("ZTF18abcdefg", "615", 615):
        store.add(object_id, "anomaly", "ann")
    store.add("615", "normal", "ann")
    read = LabelStore.open(tmp_path)
    assert read.decisions() == {"ZTF18abcdefg": "anomaly", "615": "normal", 615: "anomaly"}
    assert to_table(read.history())["object_id"].to_pylist() == ["ZTF18abcdefg", "615", "615", "615"]
    assert read.undo("ann").object_id == "615"
    assert read.decisions()["615"] == "anomaly"


def test_objects_with_texts_for_ids_are_labelled_by_command_and_by_table(tmp_path, named_sky, capsys):
    layer, names = str(named_sky.layers / "features"), named_sky.names
    said = ["label", layer, "--id", names[3], names[0], "--as", "anomaly", "--by", "ann"]
    assert main([*said, "--column", "lcf_amplitude_r", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["object_id"] for record in records] == [names[3], names[0]]
    assert main(["label", layer, "--id", "nobody", "--as", "normal", "--by", "ann"]) == 2
    assert "no object nobody" in capsys.readouterr().err
    table = tmp_path / "said.csv"
    table.write_text(f"object_id,label\n{names[1]},normal\n{names[0]},anomaly\n")
    assert main(["label", "import", layer, str(table), "--by", "ann"]) == 0
    assert LabelStore.open(layer).decisions() == {names[0]: "anomaly", names[1]: "normal", names[3]: "anomaly"}
    assert main(["rank", layer]) == 2
    assert "ranked by integer ids" in capsys.readouterr().err
