"""rank: a whole layer, streamed, from Python and from the command line."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.active import LabelStore, RankRequest, rank, rerank
from skyloom.active import reading as reading_module
from skyloom.active.collecting import Best, Sample
from skyloom.active.ranked import PROVENANCE
from skyloom.active.reading import Chunk, LayerReader
from skyloom.cli import main
from skyloom.errors import ErrorKind, SpecError
from skyloom.jobs import open_layer, run
from skyloom.jobs.spec import parse_job
from tests.tiny_catalogs import write_tiny_catalog

FEATURES = ("lcf_mean_*", "lcf_amplitude_*", "lcf_skew_*")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Layers of a catalog of a few partitions, made once."""
    root = tmp_path_factory.mktemp("rank")
    write_tiny_catalog(root / "tiny", rows=120, threshold=40, longest=40)
    values = {"job": "rank", "model": "lightcurve-features", "layer": "features"}
    values |= {"input": {"catalog": str(root / "tiny")}, "output": {"store": str(root / "layers")}}
    run(parse_job(values, where="test"), cluster="in-process", progress=False)
    return root / "layers"


@pytest.fixture
def layer(store):
    return open_layer("features", store)


@pytest.fixture
def labels(tmp_path):
    """Labels in a folder of their own, so that the layer can be shared."""
    return LabelStore.open(tmp_path)


def all_rows(layer):
    chunks = list(LayerReader.of(layer, patterns=FEATURES))
    ids, features = np.concatenate([c.ids for c in chunks]), np.concatenate([c.features for c in chunks])
    there = np.isfinite(features).any(axis=1)
    return ids[there], features[there]


def said(labels, ids, names):
    for k, object_id in enumerate(ids):
        labels.add(int(object_id), names[k % len(names)], "ann")


@pytest.mark.parametrize("loop", ["anomaly", "followup"])
def test_a_streamed_ranking_is_that_of_all_rows_at_once(layer, labels, loop, monkeypatch):
    monkeypatch.setattr(reading_module, "BATCH_ROWS", 7)
    ids, features = all_rows(layer)
    said(labels, sorted(ids)[:20], ("anomaly", "normal") if loop == "anomaly" else ("sn-ia", "sn-ii"))
    whole = rerank(features, ids, labels.decisions(), loop=loop, seed=5)
    request = RankRequest(loop=loop, budget=15, features=FEATURES, labelled=True, seed=5, candidates=15)
    table = rank(layer, request, labels).table
    order = np.lexsort((ids, -whole))[:15]
    assert table["object_id"].to_pylist() == ids[order].tolist()
    column = "aad_score" if loop == "anomaly" else "al_score"
    np.testing.assert_allclose(table[column].to_numpy(), whole[order], rtol=1e-6)


def test_what_has_a_label_is_not_asked_again(layer, labels):
    ids, _ = all_rows(layer)
    said(labels, ids[:30], ("anomaly", "normal"))
    ranked = set(rank(layer, RankRequest(budget=200, features=FEATURES), labels).table["object_id"].to_pylist())
    assert ranked == set(ids.tolist()) - set(ids[:30].tolist())


def test_labels_are_taken_into_account_until_they_are_taken_back(layer, labels):
    request = RankRequest(budget=10, features=FEATURES, labelled=True)
    ids, _ = all_rows(layer)
    before = rank(layer, request, labels)
    labels.add(int(ids[0]), "anomaly", "ann")
    after = rank(layer, request, labels)
    labels.undo("ann")
    again = rank(layer, request, labels)
    assert after.table["aad_round"].to_pylist() == [1] * 10
    assert not after.table.equals(before.table)
    assert again.table.equals(before.table)
    digests = [r.provenance["labels_digest"] for r in (before, after, again)]
    assert digests[0] == ""
    assert len(set(digests)) == 3


def test_a_label_is_shown_beside_its_object(layer, labels):
    ids, _ = all_rows(layer)
    labels.add(int(ids[0]), "anomaly", "ann")
    labels.add(int(ids[1]), "normal", "ann")
    table = rank(layer, RankRequest(budget=200, features=FEATURES, labelled=True), labels).table
    shown = dict(zip(table["object_id"].to_pylist(), table["aad_label"].to_pylist(), strict=True))
    assert (shown[int(ids[0])], shown[int(ids[1])]) == (-1, 1)
    assert sum(map(abs, shown.values())) == 2


def test_rows_without_features_are_counted_and_not_ranked(layer, labels):
    ranking = rank(layer, RankRequest(budget=1000, features=FEATURES), labels)
    ids, _ = all_rows(layer)
    assert ranking.provenance["rows_scored"] == len(ids) == ranking.table.num_rows
    assert ranking.provenance["rows_without_features"] == layer.rows - len(ids) > 0


def test_a_cost_column_is_paid_from_the_budget(layer, labels):
    request = RankRequest(budget=30, batch=12, cost="lcf_n_obs_g", features=FEATURES)
    ranking = rank(layer, request, labels)
    cost, batch = ranking.table["aad_cost"].to_numpy(), ranking.table["aad_batch"].to_numpy()
    assert 12 < cost.sum() <= 30
    assert np.bincount(batch, weights=cost).max() <= 12
    assert ranking.provenance["spent"] == {"cost": cost.sum(), "objects": len(cost), "batches": batch.max() + 1}
    assert ranking.provenance["rows_that_cannot_be_paid"] > 0


def test_a_file_carries_units_and_provenance(layer, labels, tmp_path):
    path = tmp_path / "ranking.parquet"
    ranking = rank(layer, RankRequest(budget=5, features=FEATURES, seed=3), labels)
    ranking.write(path)
    schema = pq.read_schema(path)
    provenance = json.loads(schema.metadata[PROVENANCE])
    assert provenance == ranking.provenance
    assert provenance["request"]["seed"] == 3
    assert provenance["layer_manifest"].startswith("sha256:")
    assert schema.field("ra").metadata[b"unit"] == b"deg"
    assert schema.field("aad_score").metadata[b"description"]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"features": ("lcf_meen_g",)}, ErrorKind.UNKNOWN_COLUMN),
        ({"cost": "hours"}, ErrorKind.UNKNOWN_COLUMN),
        ({"loop": "anomly"}, ErrorKind.BAD_PARAMETER),
        ({"strategy": "best"}, ErrorKind.BAD_PARAMETER),
        ({"budget": -1.0}, ErrorKind.BAD_PARAMETER),
        ({"loop": "followup"}, ErrorKind.BAD_PARAMETER),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(layer, labels, wrong, kind):
    with pytest.raises(SpecError) as caught:
        rank(layer, RankRequest(**wrong), labels)
    assert caught.value.kind is kind


def chunk(ids, value=1.0):
    return Chunk(np.asarray(ids), np.full((len(ids), 2), value), pa.table({"x": pa.array(ids)}))


def test_a_sample_and_the_best_hold_no_more_than_they_must():
    sample, best, most = Sample(50, seed=0), Best(20), 0
    scores = np.random.default_rng(0).random(10_000)
    for start in range(0, 10_000, 100):
        rows = chunk(np.arange(start, start + 100))
        sample.add(rows)
        best.add(scores[start : start + 100], rows)
        most = max(most, sample._held, best._held)
    assert most <= 200
    assert len(sample.features()) == 50
    score, rows = best.ordered()
    np.testing.assert_array_equal(rows.ids, np.argsort(-scores)[:20])
    assert rows.others["x"].to_pylist() == rows.ids.tolist()
    assert (np.diff(score) <= 0).all()


def test_the_loop_runs_from_the_command_line(store, capsys):
    def told(*words):
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    place = ("features", "--store", str(store))
    options = ("--features", *FEATURES, "--budget", "4")
    first = told("rank", *place, *options)["ranking"]
    ids = [str(row["object_id"]) for row in first]
    told("label", *place, "--id", *ids[:2], "--as", "anomaly", "--by", "ann", "--column", "lcf_mean_r")
    told("label", *place, "--id", ids[2], "--as", "normal", "--by", "ben")
    again = told("rank", *place, *options)
    assert {row["object_id"] for row in again["ranking"]}.isdisjoint(map(int, ids[:3]))
    assert again["provenance"]["labels_used"] == 3
    assert again["provenance"]["labels_digest"] == LabelStore.open(store / "features").digest()
    assert told("label", "undo", *place, "--by", "ben")["object_id"] == int(ids[2])
    listed = told("label", "list", *place)
    assert [str(row["object_id"]) for row in listed] == ids[:2]
    assert [row["kind"] for row in told("label", "list", *place, "--history")][-1] == "undo"


def test_an_object_that_the_layer_has_not_is_not_labelled(store, capsys):
    before = LabelStore.open(store / "features").digest()
    words = ["label", str(store / "features"), "--id", "5", "--as", "normal", "--by", "ann"]
    assert main(words) == 2
    assert "no object 5" in capsys.readouterr().err
    assert LabelStore.open(store / "features").digest() == before


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_an_export_can_leave_people_out(tmp_path, ending, capsys):
    labels = LabelStore.open(tmp_path)
    labels.add(1, "anomaly", "ann", "as ann-marie said")
    labels.add(2, "normal", "ben")
    path = tmp_path / f"labels{ending}"
    assert main(["label", "export", str(tmp_path), str(path), "--anonymous"]) == 0
    data = path.read_bytes()
    assert b"ann" not in data
    assert b"ben" not in data
    assert b"person-2" in data
    assert main(["label", "export", str(tmp_path), str(path)]) == 2
    assert "exists" in capsys.readouterr().err


def test_a_spectroscopic_sample_is_imported_once_and_starts_the_followup_loop(store, layer, tmp_path, capsys):
    ids, _ = all_rows(layer)
    table = pa.table({"snid": ids[:30], "sim_type": ["Ia", "II", None] * 10})
    pq.write_table(table, tmp_path / "spectra.parquet")
    words = ["label", "import", str(tmp_path), str(tmp_path / "spectra.parquet"), "--by", "aat"]
    words += ["--id-column", "snid", "--label-column", "sim_type"]
    for recorded in (20, 0):
        assert main(words) == 0
        assert f"recorded {recorded} labels of 20" in capsys.readouterr().err
    path = tmp_path / "tonight.parquet"
    options = ("--loop", "followup", "--budget", "7", "--batch", "3", "--strategy", "entropy")
    place = ("features", "--store", str(store), "--labels", str(tmp_path), "--output", str(path))
    assert main(["rank", *place, *options, "--features", *FEATURES]) == 0
    ranking = pq.read_table(path)
    assert ranking["al_rank"].to_pylist() == [1, 2, 3, 4, 5, 6, 7]
    assert ranking["al_batch"].to_pylist() == [0, 0, 0, 1, 1, 1, 2]
    assert set(ranking["object_id"].to_pylist()).isdisjoint(LabelStore.open(tmp_path).decisions())
    assert all("Ia" in reason and "II" in reason for reason in ranking["reason"].to_pylist())


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"object_id": [1, 1], "label": ["a", "b"]}, "both 'a' and 'b'"),
        ({"object_id": [1], "lable": ["a"]}, "did you mean 'lable'"),
        ({"object_id": [1.5], "label": ["a"]}, "must be integers"),
        ({"object_id": [1, 2], "label": ["a", "SN Ia"]}, "label name 'SN Ia'"),
    ],
)
def test_a_table_that_cannot_be_imported_whole_is_not_imported(tmp_path, capsys, table, why):
    pq.write_table(pa.table(table), tmp_path / "labels.parquet")
    words = ["label", "import", str(tmp_path), str(tmp_path / "labels.parquet"), "--by", "aat"]
    assert main(words) in {1, 2}
    assert why in capsys.readouterr().err
    assert LabelStore.open(tmp_path).history() == []


def test_labels_survive_a_new_run_of_their_layer(store):
    assert (
        LabelStore.open(open_layer("features", store)).history() == LabelStore.open(store / "features").history()
    )
