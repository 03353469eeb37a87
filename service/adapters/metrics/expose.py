"""Tells metrics to whoever scrapes: as Prometheus text or OpenMetrics, whichever is asked for.

Rule: a scrape reads memory only. The families come first, then what prometheus-client knows of the process, from a
registry of our own. On a port of its own a thread answers, so also while the event loop is held up. A scraper that
hangs up is no line in the log; a thread that ends by itself is reported.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from threading import Thread

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from service.adapters.metrics.observer import MetricsObserver
from service.adapters.metrics.prometheus_text import render

PATH = "/metrics"
PATHS = frozenset({PATH, f"{PATH}/"})
OPENMETRICS = "application/openmetrics-text"
IDLE_SECONDS = 75.0
STOP_POLL_SECONDS = 0.1  # between looks whether the port is to be closed


def process_registry() -> CollectorRegistry:
    """What is known of this process and its Python."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


class Exposition:
    """Text of a scrape: the metrics of the gateway, then those of its process."""

    def __init__(self, metrics: MetricsObserver, registry: CollectorRegistry) -> None:
        self._metrics = metrics
        self._registry = registry

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text for an `Accept` header, and its media type."""
        encode, media_type = choose_encoder(accept)
        own_text = render(self._metrics.families(), openmetrics=media_type.startswith(OPENMETRICS))
        return own_text.encode() + encode(self._registry), media_type


class MetricsServer(ThreadingHTTPServer):
    """A thread for each connection."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is over; the standard library would print a traceback."""


@contextmanager
def metrics_server(exposition: Exposition, listener: socket, fail: Callable[[str], None]) -> Iterator[None]:
    """Answer scrapes on a port of their own for the length of a block. `fail` gets the reason of an earlier end."""

    class Scraped(BaseHTTPRequestHandler):
        """One connection."""

        timeout = IDLE_SECONDS
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            """Answer as GET does, without the body."""
            self._head()

        def do_GET(self) -> None:
            """Answer with the metrics; there is nothing else here."""
            self.wfile.write(self._head())

        def _head(self) -> bytes:
            """Send the head of the answer, and give its body."""
            if self.path.partition("?")[0] not in PATHS:
                self.send_error(404)
                return b""
            body, media_type = exposition.render(self.headers.get("accept", ""))
            self.send_response(200)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            return body

        def version_string(self) -> str:
            """Who answers; which Python is nobody's business."""
            return "image-gateway"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's name)
            """Write nothing down."""

    def serve() -> None:
        try:
            server.serve_forever(STOP_POLL_SECONDS)
        except (OSError, ValueError) as error:  # its socket is gone
            fail(f"Metrics cannot be served any more: {error}.")

    server = MetricsServer(listener.getsockname()[:2], Scraped, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
