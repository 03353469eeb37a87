"""The audit asks about every file, and cannot pass without an answer. The service is ours: theirs is not everywhere."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from packaging.utils import canonicalize_name

from tools.supply.audit import Verdict, audited, files
from tools.supply.locks import REQUIREMENTS, pins

KNOWN = {
    "id": "PYSEC-2026-0",
    "summary": "made up",
    "published": "2026-11-21T00:00:00Z",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "pluggy"}, "versions": ["0"], "ranges": []}],
}
NOWHERE = "http://127.0.0.1:9"


@contextmanager
def service(*broken: str) -> Iterator[tuple[str, list[str]]]:
    """Speaks OSV, and knows something against some packages. Gives its address and whom it was asked about."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name = question["package"]["name"]
            asked.append(name)
            body = json.dumps({"vulns": [KNOWN]} if name in broken else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url: str) -> Verdict:
    """About the smallest file that counts."""
    return audited("build.txt", ("--vulnerability-service", "osv", "--osv-url", url, "--timeout", "5"))


def test_every_package_of_a_file_is_asked_about() -> None:
    with service() as (url, asked):
        verdict = ask(url)
    assert set(asked) == pins("build.txt").keys()
    assert verdict.known == {}
    assert str(verdict) == f"build.txt: {len(asked)} packages, nothing is known against them"


def test_what_is_known_is_told() -> None:
    with service("pluggy") as (url, _):
        verdict = ask(url)
    assert verdict.known == {f"pluggy {pins('build.txt')[canonicalize_name('pluggy')]}": ["PYSEC-2026-0"]}


def test_where_nobody_can_be_asked_it_is_no_pass() -> None:
    verdict = ask(NOWHERE)
    assert verdict.known is None
    assert "Could not be run" in str(verdict)
    assert "Connection" in verdict.error


def test_no_file_is_left_out() -> None:
    shipped, tools = files()
    assert sorted([*shipped, *tools]) == sorted(path.name for path in REQUIREMENTS.glob("*.txt"))
