"""A real Chromium, and the server of its page: `tests/browser/page.html`.

Rule: the page posts its results to its own server, so no driver controls the browser. One start visits every origin.
The origins are names of one server.

Fails with: `TimeoutError`, with the browser's output, if no result comes in time.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.environments import sdk
from tests.support.gateway import clean_environment

PAGE = Path(__file__).parents[1] / "browser" / "page.html"
BROWSER = "chromium-headless-shell"
TIMEOUT_SECONDS = 60
QUIET = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".json": "application/json"}

PageResult = Mapping[str, Any]
"""Results of a page, by step."""


class Site(ThreadingHTTPServer):
    """Server of the page and the SDK, on its own port. `hosts` are names of this machine."""

    def __init__(self, hosts: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origins = [f"http://{host}:{self.server_port}" for host in hosts]
        self.call: dict[str, Any] = {}
        self.results: dict[str, PageResult] = {}
        self.changed = threading.Condition()

    def visit(self, gateway: str, key: str, image: str) -> Mapping[str, PageResult]:
        """Open the page at each origin, one after the other. Returns the results, by origin."""
        following = dict(zip(self.origins, self.origins[1:], strict=False))
        self.call = {"gateway": gateway, "key": key, "picture": image, "next": following}
        with tempfile.TemporaryDirectory() as profile, tempfile.TemporaryFile("w+") as printed:
            with _browser(self.origins[0], profile, printed.fileno()), self.changed:
                self.changed.wait_for(lambda: len(self.results) == len(self.origins), TIMEOUT_SECONDS)
            if len(self.results) < len(self.origins):
                printed.seek(0)
                raise TimeoutError(f"the page told {self.results}, the browser printed {printed.read()}")
        return self.results


@contextmanager
def site(*hosts: str) -> Iterator[Site]:
    """Serve the page."""
    with Site(hosts) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def _browser(address: str, profile: str, printed: int) -> Iterator[None]:
    """Run the browser. Debian's command is a shell script that stays, so the whole session of processes is ended."""
    command = [BROWSER, *QUIET, f"--user-data-dir={profile}", "--remote-debugging-port=0", address]
    child = subprocess.Popen(
        command,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=printed,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if self.path == "/call.json":
            self._reply(".json", json.dumps(self.server.call).encode())
        elif self.path.startswith("/sdk/"):
            file = sdk("js") / "node_modules" / "openai" / self.path.removeprefix("/sdk/")
            self._reply(file.suffix, file.read_bytes())
        else:
            self._reply(".html", PAGE.read_bytes())

    def do_POST(self) -> None:
        result = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._reply(".json", b"{}")
        with self.server.changed:
            self.server.results[result["origin"]] = result["told"]
            self.server.changed.notify_all()

    def _reply(self, suffix: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", TYPES.get(suffix, "text/plain"))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""
