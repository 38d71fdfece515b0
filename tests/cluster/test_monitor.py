"""The monitor says what the log says: in sums, in metrics, and on a page that a browser shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from skyloom.cluster import ClusterSpec, start
from skyloom.cluster.announce import ROUTE, Announcer
from skyloom.cluster.monitor import RUNS_KEPT, SAMPLES, Machine, Monitor, Watched, _metrics
from skyloom.engine import Journal, run_plan
from skyloom.engine.events import Event
from skyloom.engine.tally import RATE_WINDOW_S, Tally
from skyloom.jobs.execute import Workers
from skyloom.storage import LocalStore, read_log
from tests.engine import toy

NAMES = re.compile(r"skyloom_[a-z_]+")


def planned(time_s=1000.0, partitions=100, left=100):
    sums = {"partitions": partitions, "partitions_left": left, "rows": 10 * partitions, "rows_left": 10 * left}
    return {"time": time_s, "event": "planned", **sums}


def ended(time_s, **more):
    return {"time": time_s, "event": "partition", "key": "k", "rows": 10, "process": 1, **more}


def test_a_tally_counts_what_was_there_before():
    tally = Tally()
    for event in [planned(left=40), ended(1001.0), ended(1002.0, quarantined=2, flagged=3)]:
        tally.add(event)
    assert (tally.partitions_done, tally.rows_done) == (62, 620)
    assert (tally.flagged, tally.quarantined) == (3, 2)
    assert tally.rate() == pytest.approx(20 / 2.0)


def test_the_rate_is_that_of_the_last_minute_and_falls_to_nothing_in_a_run_that_stands_still():
    tally = Tally()
    tally.add(planned())
    for second in range(1, 31):
        tally.add(ended(1000.0 + second))
    assert tally.rate(1030.0) == pytest.approx(300 / 30)
    assert tally.rate(1060.0) == pytest.approx(300 / 60)
    assert tally.rate(1031.0 + RATE_WINDOW_S) == 0.0
    assert tally.seconds_left(1031.0 + RATE_WINDOW_S) is None


def test_a_curve_stays_short_however_long_the_run_is():
    watched = Watched("toy", "job", "run")
    watched.add(planned(partitions=10**6, left=10**6))
    for second in range(20 * SAMPLES):
        watched.add(ended(1000.0 + second))
    times = [moment.time_s for moment in watched.moments]
    assert len(times) <= SAMPLES + 1
    assert times == sorted(times)
    assert times[0] == 1000.0
    assert times[-1] > 1000.0 + 19 * SAMPLES


def test_only_the_newest_runs_are_kept_and_foreign_events_are_left_alone():
    monitor = Monitor()
    monitor.log_event("somebody-else", "not a mapping")
    for number in range(RUNS_KEPT + 3):
        monitor.log_event(
            "skyloom",
            {"run": str(number), "layer": "toy", "job_id": "j", "events": [planned()], "ended": False},
        )
    assert len(monitor.runs) == RUNS_KEPT
    assert monitor.newest.run == str(RUNS_KEPT + 2)


def test_what_workers_use_is_read_from_their_heartbeats():
    state = {"pid": 7, "name": "gpu-0", "processing": {}}
    heartbeat = {"memory": 3 << 30, "gpu": {"memory-used": 5 << 30, "utilization": 80}}
    monitor = Monitor()
    monitor.scheduler = SimpleNamespace(
        workers={
            "tcp://a": SimpleNamespace(**state, metrics=heartbeat),
            "tcp://b": SimpleNamespace(**state | {"pid": 8, "name": "cpu-0"}, metrics={"memory": 1 << 30}),
        }
    )
    assert monitor.machines() == {
        7: Machine("gpu-0", 3 << 30, 5 << 30, 0.8),
        8: Machine("cpu-0", 1 << 30, None, None),
    }


def test_a_scheduler_that_fails_does_not_harm_the_run():
    class Deaf:
        def register_plugin(self, plugin):
            raise OSError("gone")

        def log_event(self, topic, message):
            raise OSError("gone")

    announcer = Announcer("toy", "job")
    announcer(Event("planned", {"rows": 1}))
    with announcer.connected(Deaf()):
        announcer(Event("partition", {"rows": 1}))
        time.sleep(0.7)


@pytest.fixture(scope="module")
def cluster():
    with start(ClusterSpec(workers=2, dashboard="127.0.0.1:0")) as running:
        yield running


class Going:
    """A run on a cluster, in a thread of this process."""

    def __init__(self, cluster, store, plan):
        self.plan, self.store = plan, store
        announcer = Announcer(plan.layer, plan.job_id)
        executor = Workers(cluster, announce=False, announcer=announcer).executor
        work = {"listener": announcer, "group_tasks": 1}
        self.thread = threading.Thread(target=run_plan, args=(plan, store, executor), kwargs=work)
        self.thread.start()

    @property
    def said(self) -> Counter:
        """Sums over the event log."""
        sums = Counter()
        for line in read_log(self.store, Journal(self.store, self.plan.layer, self.plan.job_id).name("log")):
            event = json.loads(line)
            if event["event"] == "partition":
                sums.update(partitions=1, rows=event["rows"], quarantined=event.get("quarantined", 0))
        return sums


def fetched(cluster, route: str) -> str:
    """A page of the test's own scheduler."""
    return urllib.request.urlopen(cluster.dashboard.replace("/status", route), timeout=30).read().decode()


def test_the_dashboard_of_a_local_cluster_is_built_when_somebody_asks_for_it():
    with start(ClusterSpec(workers=1, dashboard="127.0.0.1:0")) as running:
        applications = running.client.cluster.scheduler.http_application.applications
        (waiting,) = applications
        assert "skyloom" in fetched(running, "/metrics")
        assert fetched(running, "/health") == "ok"
        assert applications == [waiting]

        assert "skyloom" in fetched(running, ROUTE)
        assert len(applications) == 1
        assert applications != [waiting]
        for page in ("/status", "/workers", "/tasks", ROUTE):
            assert "<html" in fetched(running, page), page


def metrics(cluster) -> dict[str, float]:
    text = fetched(cluster, "/metrics")
    return {
        ":".join(
            [sample.name, *(sample.labels[n] for n in ("outcome", "what") if n in sample.labels)]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("layer") == "toy"
    }


@pytest.mark.cluster
def test_metrics_agree_with_the_event_log(cluster, tmp_path):
    going = Going(cluster, LocalStore(tmp_path), toy.plan(20, faulty=[3, 4], identity={"test": "metrics"}))
    going.thread.join()
    time.sleep(1.0)
    found = metrics(cluster)
    said = going.said
    assert said == {"partitions": 20, "rows": 200, "quarantined": 2}
    assert found["skyloom_rows_total"] == said["rows"]
    assert found["skyloom_rows_quarantined_total"] == said["quarantined"]
    assert found["skyloom_partitions_total:committed"] == said["partitions"]
    assert found["skyloom_partitions_total:failed"] == 0
    assert found["skyloom_worker_seconds_total:commit"] > 0


@pytest.mark.cluster
def test_a_scheduler_that_others_start_gets_page_and_metrics_by_a_preload(tmp_path):
    contact = tmp_path / "scheduler.json"
    command = [
        sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show",
        "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(contact),
        "--preload", "skyloom.cluster.preload",
    ]  # fmt: skip
    scheduler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (contact.exists() and contact.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        about = json.loads(contact.read_text())
        with start(ClusterSpec(kind="scheduler", address=about["address"])) as running:
            assert "skyloom_rows" in fetched(running, "/metrics")
            assert "skyloom" in fetched(running, ROUTE)
            assert "skyloom" in fetched(running, "/status")
    finally:
        scheduler.kill()
        scheduler.wait(timeout=30)


@pytest.fixture
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright, one of the developers' tools"
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a browser: install chromium")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = driver.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@pytest.mark.cluster
def test_the_page_moves_while_a_job_runs_and_agrees_with_the_log_at_its_end(cluster, tmp_path, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 700})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    plan = toy.plan(60, wait_s=0.2, faulty=[5, 50], identity={"test": "page"}, layer="toy")
    going = Going(cluster, LocalStore(tmp_path / "layers"), plan)
    page.goto(cluster.dashboard.replace("/status", ROUTE))
    rows = page.locator("#skyloom-rows")
    seen = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not seen or seen[-1] != "600 / 600"):
        if rows.count() and (text := rows.inner_text()) not in seen:
            seen.append(text)
            if len(seen) == 3:
                page.screenshot(path=tmp_path / "running.png")
        page.wait_for_timeout(200)
    going.thread.join()
    page.wait_for_timeout(1500)
    page.screenshot(path=tmp_path / "ended.png")
    assert len(seen) >= 4
    numbers = [int(text.split(" / ")[0]) for text in seen]
    assert numbers == sorted(numbers)
    assert going.said == {"partitions": 60, "rows": 600, "quarantined": 2}
    assert rows.inner_text() == "600 / 600"
    assert page.locator("#skyloom-partitions").inner_text() == "60 / 60"
    assert page.locator("#skyloom-quarantined-rows").inner_text() == "2"
    assert page.locator("#skyloom-state").inner_text() == "ended"
    assert not errors
    assert {url.split("/")[2].split(":")[0] for url in asked} == {"127.0.0.1"}, "the page asks nobody else"
    for name in ("running.png", "ended.png"):
        assert (tmp_path / name).stat().st_size > 20_000


@pytest.mark.cluster
def test_text_from_a_catalog_stays_text_on_the_page(cluster, browser):
    message = {
        "run": "hostile",
        "layer": "toy",
        "job_id": "j",
        "events": [
            planned(time.time()),
            {"time": time.time(), "event": "stopped", "reason": "<script>alert(1)</script>"},
        ],
        "ended": True,
    }
    cluster.client.log_event("skyloom", message)
    page = browser.new_page()
    page.goto(cluster.dashboard.replace("/status", ROUTE))
    page.get_by_text("<script>alert(1)</script>").wait_for(timeout=30_000)


def test_the_grafana_dashboard_asks_for_metrics_that_there_are():
    text = Path(__file__).parents[2].joinpath("deploy", "grafana", "skyloom.json").read_text()
    asked = {
        name for panel in json.loads(text)["panels"] for t in panel["targets"] for name in NAMES.findall(t["expr"])
    }
    offered = {sample for family in _metrics.collect() for sample in (f"{family.name}_total", family.name)}
    assert asked
    assert asked <= offered
