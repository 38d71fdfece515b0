"""A few lines of S3 that answer as they are told to: the faults of a real network, on the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Fault:
    """What happens to one PUT."""

    status: int = 0
    """Status to answer with; 0 to close the connection without an answer."""
    stored: bool = False
    """Whether the object is stored nevertheless."""
    code: str = ""
    wait_s: float = 0
    etag: bool = True


@dataclass
class Stub:
    """The state of a server."""

    endpoint: str = ""
    conditional: bool = True
    """Whether ``If-None-Match`` is honoured."""
    metadata: bool = True
    """Whether metadata is kept."""
    faults: list[Fault] = field(default_factory=list)
    """One is taken off for each PUT."""
    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    puts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet, or each costs a delayed acknowledgement
    stub: Stub

    def log_message(self, *args) -> None: ...

    @property
    def key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        stub = self.stub
        with stub.lock:
            stub.puts += 1
            fault = stub.faults.pop(0) if stub.faults else None
            taken = stub.conditional and self.headers.get("If-None-Match") == "*" and self.key in stub.objects
            if not taken and (fault is None or fault.stored):
                stub.objects[self.key] = (data, self.headers.get("x-amz-meta-attempt", ""))
        if fault is not None:
            time.sleep(fault.wait_s)
            if not fault.status:
                self.close_connection = True
                return
            # The way in which real stores repeat what was signed.
            signed = f"<StringToSign>{self.headers['Authorization']}</StringToSign>"
            body = f"<Error><Code>{fault.code}</Code>{signed}</Error>" if fault.status != 200 else ""
            tag = {"ETag": '"1"'} if fault.etag else {}
            self.answer(fault.status, body.encode(), **tag)
        elif taken:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.answer(200, ETag='"1"')

    def do_GET(self) -> None:
        if self.key not in self.stub.objects:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        data, attempt = self.stub.objects[self.key]
        kept = {"x-amz-meta-attempt": attempt} if self.stub.metadata else {}
        self.answer(200, data, ETag='"1"', Last_Modified="Wed, 01 Jan 2025 00:00:00 GMT", **kept)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        self.stub.objects.pop(self.key, None)
        self.answer(204)


@contextmanager
def running(**settings) -> Iterator[Stub]:
    """Serve until the context ends."""
    stub = Stub(**settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Handler,), {"stub": stub}))
    server.daemon_threads = True
    stub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
