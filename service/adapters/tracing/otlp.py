"""Spans by OpenTelemetry's SDK. A thread of its own exports them over OTLP/HTTP.

Rule: tracing is on only if `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` has an address.
Otherwise nothing of the SDK is imported. The SDK reads every other variable `OTEL_*` by itself (sampler, headers,
resource, batches).

Fails with: lost spans if a collector is away, never a failed request. Spans wait in a bounded queue, then are dropped.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.adapters.tracing import span_attributes
from service.domain.generation import CallOutcome
from service.usecases.ports.events import AttemptFinished, RequestFinished
from service.usecases.ports.tracing import AttemptSpan, RequestSpan, Tracer

SERVICE = "image-gateway"
SERVER_ERROR = 500  # from this status on, the fault is the gateway's
CLOSE_SECONDS = 3.0

_PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class _OtlpRequestSpan:
    span: Span

    @property
    def trace_id(self) -> str:
        return format_trace_id(self.span.get_span_context().trace_id)

    def record(self, event: RequestFinished) -> None:
        self.span.update_name(span_attributes.request_span_name(event))
        self.span.set_attributes(span_attributes.request_attributes(event))
        if event.status >= SERVER_ERROR:
            self.span.set_status(Status(StatusCode.ERROR))


@dataclass(frozen=True, slots=True)
class _OtlpAttemptSpan:
    span: Span
    headers: Mapping[str, str]

    def record(self, event: AttemptFinished, outcome: CallOutcome) -> None:
        self.span.set_attributes(span_attributes.attempt_attributes(event, outcome))
        if event.failure:
            self.span.set_status(Status(StatusCode.ERROR, event.failure.value))


class OtlpTracer(Tracer):
    """A tracer that exports spans. `dialects` has the dialect of each backend by name."""

    def __init__(self, dialects: Mapping[str, str], version: str) -> None:
        own = Resource.create({"service.name": SERVICE, "service.version": version})
        resource = own.merge(OTELResourceDetector().detect())  # the environment overrides
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE, version)
        self._dialects = dialects

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[RequestSpan]:
        with self._tracer.start_as_current_span(method, _PROPAGATOR.extract(headers), SpanKind.SERVER) as span:
            yield _OtlpRequestSpan(span)

    @contextmanager
    def attempt(self, backend: str, model: str) -> Iterator[AttemptSpan]:
        attributes = span_attributes.attempt_start_attributes(backend, self._dialects.get(backend, backend), model)
        name = span_attributes.attempt_span_name(model)
        with self._tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes) as span:
            headers: dict[str, str] = {}
            _PROPAGATOR.inject(headers)
            yield _OtlpAttemptSpan(span, headers)

    async def close(self) -> None:
        """Export the remaining spans.

        A slow SDK is not awaited longer than `CLOSE_SECONDS`; its thread ends with the process.
        """
        flush_thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush_thread.start()
        await asyncio.to_thread(flush_thread.join, CLOSE_SECONDS)
