"""The audit queries every file, and cannot pass without an answer. The service is a local one, because the real one is
not reachable everywhere.
"""

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
    """Serve OSV with vulnerabilities of some packages. Yields its address and the queried packages."""
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
            """Log nothing."""

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
    """Audit the smallest file that counts."""
    return audited("build.txt", ("--vulnerability-service", "osv", "--osv-url", url, "--timeout", "5"))


def test_the_audit_queries_every_package_of_a_file() -> None:
    with service() as (url, asked):
        result = ask(url)
    assert set(asked) == pins("build.txt").keys()
    assert result.known == {}
    assert str(result) == f"build.txt: {len(asked)} packages, nothing is known against them"


def test_a_known_vulnerability_is_reported() -> None:
    with service("pluggy") as (url, _):
        result = ask(url)
    assert result.known == {f"pluggy {pins('build.txt')[canonicalize_name('pluggy')]}": ["PYSEC-2026-0"]}


def test_an_unreachable_service_is_no_pass() -> None:
    result = ask(NOWHERE)
    assert result.known is None
    assert "Could not be run" in str(result)
    assert "Connection" in result.error


def test_the_audit_includes_every_file() -> None:
    shipped, tools = files()
    assert sorted([*shipped, *tools]) == sorted(path.name for path in REQUIREMENTS.glob("*.txt"))
