"""Who can reach a cluster: nobody but its own, on this machine or by certificate."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from skyloom.cli import main
from skyloom.cluster import ClusterSpec, make_certificates, resolve, start
from skyloom.errors import ErrorKind, TransientError
from tests.cluster.test_certificates import with_expired

pytestmark = pytest.mark.cluster
LOOPBACK = {"127.0.0.1", "::1"}


def listeners(process):
    """Every address that a process and its children listen on."""
    found = set()
    for one in (process, *process.children(recursive=True)):
        for connection in one.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add((connection.laddr.ip, connection.laddr.port))
    return found


@pytest.mark.parametrize("dashboard", ["", "127.0.0.1:0"])
def test_a_local_cluster_listens_on_this_machine_alone(dashboard):
    before = listeners(psutil.Process())
    with start(ClusterSpec(workers=2, dashboard=dashboard)) as running:
        running.client.wait_for_workers(2)
        found = listeners(psutil.Process()) - before
    assert len(found) >= 3, "scheduler and two workers"
    assert {address for address, _ in found} <= LOOPBACK


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A real scheduler and a worker, as `skyloom cluster certs` says to start them."""
    folder = tmp_path_factory.mktemp("tls")
    made = make_certificates(folder / "certs")
    contact = folder / "scheduler.json"
    processes = []

    def launch(role, module, *options):
        certificate, key = made.pair(role)
        tls = ["--tls-ca-file", made.authority, "--tls-cert", certificate, "--tls-key", key]
        command = [sys.executable, "-m", f"distributed.cli.{module}", *options, *tls]
        processes.append(subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL))

    launch(
        "scheduler", "dask_scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", "0",
        "--dashboard-address", "127.0.0.1:0", "--no-show", "--scheduler-file", contact,
    )  # fmt: skip
    for _ in range(300):
        if contact.exists() and contact.read_text():
            break
        time.sleep(0.1)
    launch(
        "worker", "dask_worker", "--scheduler-file", contact, "--nthreads", "1", "--no-nanny",
        "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0",
    )  # fmt: skip
    import json

    yield made, json.loads(contact.read_text())["address"], processes
    for process in reversed(processes):
        process.kill()
        process.wait(timeout=30)


def cluster_file(made, address, path, **files):
    names = {
        "tls_ca": made.authority,
        "tls_cert": made.pair("client")[0],
        "tls_key": made.pair("client")[1],
        **files,
    }
    lines = [
        'kind = "scheduler"',
        f'address = "{address}"',
        *(f'{name} = "{file}"' for name, file in names.items()),
    ]
    path.write_text("\n".join(lines))
    return path


def test_a_client_with_a_certificate_of_the_cluster_gets_work_done(secured, tmp_path):
    made, address, _ = secured
    assert address.startswith("tls://")
    with start(resolve(cluster_file(made, address, tmp_path / "c.toml"))) as running:
        running.client.wait_for_workers(1, timeout=60)
        assert running.client.submit(sum, (1, 2)).result(timeout=60) == 3


def test_the_options_that_the_command_prints_keep_dashboards_on_their_machine(secured, capsys, tmp_path):
    """Without them a scheduler serves it, and a worker its own, to everybody (--no-dashboard does not help)."""
    _, _, processes = secured
    for process in processes:
        found = listeners(psutil.Process(process.pid))
        assert len(found) >= 2
        assert {address for address, _ in found} <= LOOPBACK
    assert main(["cluster", "certs", str(tmp_path / "certs")]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"dask (scheduler|worker) .*--dashboard-address 127\.0\.0\.1:\d+", out)) == 2


def refused(spec, monkeypatch, why):
    """Connect past our own checks, as an attacker would; return the seconds until it failed."""
    # By its full name in sys.modules: the package has a function of the same name.
    monkeypatch.setattr(sys.modules["skyloom.cluster.start"], "CONNECT_TIMEOUT_S", 5)
    monkeypatch.setattr(ClusterSpec, "check", lambda self: self)
    started = time.monotonic()
    with pytest.raises(TransientError) as caught, start(spec):
        pass
    assert caught.value.kind == ErrorKind.CLUSTER_LOST
    assert why in caught.value.message
    return time.monotonic() - started


def spec_of(address, made=None):
    if made is None:
        return ClusterSpec(kind="scheduler", address=address, insecure=True)
    certificate, key = made.pair("client")
    files = {"tls_ca": str(made.authority), "tls_cert": str(certificate), "tls_key": str(key)}
    return ClusterSpec(kind="scheduler", address=address, **files)


def test_a_client_without_tls_is_refused(secured, monkeypatch):
    _, address, _ = secured
    assert refused(spec_of(address.replace("tls://", "tcp://")), monkeypatch, "Connection reset") < 10


@pytest.mark.parametrize("trusting", [False, True])
def test_a_client_of_another_cluster_is_refused(secured, monkeypatch, tmp_path, trusting):
    """Also when it trusts our authority, so that only the scheduler can refuse it."""
    made, address, _ = secured
    other = make_certificates(tmp_path / "other")
    if trusting:
        other.authority.write_bytes(made.authority.read_bytes())
    why = "in <TLS (closed)" if trusting else "TLS certificate does not match"
    assert refused(spec_of(address, other), monkeypatch, why) < 10


@pytest.mark.parametrize(
    ("stale", "why"), [("scheduler", "TLS certificate does not match"), ("client", "in <TLS (closed)")]
)
def test_an_expired_certificate_is_refused_by_the_other_side(tmp_path, monkeypatch, stale, why):
    certificates = with_expired(tmp_path / "certs", stale)
    with scheduler_of(certificates) as address:
        assert refused(spec_of(address, certificates), monkeypatch, why) < 10


@contextmanager
def scheduler_of(certificates):
    """A scheduler in this process, which starts with whatever certificate it is given."""
    import distributed
    from distributed.security import Security

    certificate, key = map(str, certificates.pair("scheduler"))
    security = Security(
        require_encryption=True, tls_ca_file=str(certificates.authority),
        tls_scheduler_cert=certificate, tls_scheduler_key=key,
    )  # fmt: skip
    loop = distributed.utils.LoopRunner(asynchronous=False)
    loop.start()

    async def opened():
        return await distributed.Scheduler(
            security=security, protocol="tls", host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0"
        )

    scheduler = distributed.utils.sync(loop.loop, opened)
    try:
        yield scheduler.address
    finally:
        distributed.utils.sync(loop.loop, scheduler.close)
        loop.stop()
