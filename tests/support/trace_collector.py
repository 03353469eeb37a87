"""OpenTelemetry collector on loopback: stores spans from OTLP/HTTP, and the bytes of each export."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(slots=True)
class Collected:
    """Received exports."""

    url: str
    raw: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """Every span, in the order of their ends."""
        exports = [ExportTraceServiceRequest.FromString(body) for body in self.raw]
        scopes = (scope for export in exports for resource in export.resource_spans for scope in resource.scope_spans)
        return [span for scope in scopes for span in scope.spans]

    def resource(self) -> dict[str, object]:
        """Resource attributes of the first export."""
        resource = ExportTraceServiceRequest.FromString(self.raw[0]).resource_spans[0].resource
        return {pair.key: pair.value.string_value for pair in resource.attributes}


def attributes(span: Span) -> dict[str, object]:
    """Return the attributes of a span."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}


@contextmanager
def collector() -> Iterator[Collected]:
    """Run a collector for the length of a block."""

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Accept one export."""
            collected.raw.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's name)
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        collected = Collected(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collected
        finally:
            server.shutdown()
