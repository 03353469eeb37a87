"""Exposition of metrics as Prometheus text or OpenMetrics, and a server for a separate port.

Rule: a scrape reads memory only. The gateway's families come first, then the metrics of prometheus-client about the
process. A separate port is served by a thread, so scrapes are answered while the event loop is busy.

Fails with: a disconnected scraper is not logged. A server thread that ends by itself is passed to `fail`.
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
STOP_POLL_SECONDS = 0.1  # interval at which the thread checks whether it has to stop


def process_registry() -> CollectorRegistry:
    """Return a registry with the metrics of this process and its Python."""
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
    """HTTP server with a thread for each connection."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a broken connection, for which the standard library would print a traceback."""


@contextmanager
def metrics_server(exposition: Exposition, listener: socket, fail: Callable[[str], None]) -> Iterator[None]:
    """Serve scrapes on a separate port within a block. `fail` receives the reason if the server ends before."""

    class ScrapeHandler(BaseHTTPRequestHandler):
        """Handler of one connection."""

        timeout = IDLE_SECONDS
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            """Send the headers of a GET."""
            self._send_headers()

        def do_GET(self) -> None:
            """Send the metrics."""
            self.wfile.write(self._send_headers())

        def _send_headers(self) -> bytes:
            """Send the headers and return the body."""
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
            """Return the `Server` header, without the version of Python."""
            return "image-gateway"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's name)
            """Log nothing."""

    def serve() -> None:
        try:
            server.serve_forever(STOP_POLL_SECONDS)
        except (OSError, ValueError) as error:  # the socket is closed
            fail(f"Metrics cannot be served any more: {error}.")

    server = MetricsServer(listener.getsockname()[:2], ScrapeHandler, bind_and_activate=False)
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
