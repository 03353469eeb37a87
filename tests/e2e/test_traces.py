"""Traces: a request and its calls as spans of the caller's trace, at a real collector, and none without a collector."""

import socket
from pathlib import Path
from typing import Any

import httpx2
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.e2e.replicas import PATH, Start, ask, build_body, change
from tests.simulators import openai
from tests.simulators.server import Simulator
from tests.support.gateway_site import await_true
from tests.support.trace_collector import Collected, attributes, collector

pytest_plugins = ["tests.support.databases"]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CARRIED: dict[str, Any] = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=x"}
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
REQUIRED: dict[str, object] = {
    "gen_ai.operation.name": "image_generation",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-image-2",
    "gen_ai.output.type": "image",
    "gateway.backend": "openai",
    "gateway.images": 1,
}


def await_spans(collected: Collected, count: int) -> list[Span]:
    """Wait for `count` spans."""
    await_true(lambda: len(collected.spans()) >= count)
    return collected.spans()


def test_a_request_and_its_call_are_spans_of_the_callers_trace(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    with collector() as collected, start(OTEL_EXPORTER_OTLP_ENDPOINT=collected.url, **SOON) as gateway:
        reply = ask(http, gateway, f"a heron {tmp_path}", **CARRIED)
        call, request = await_spans(collected, 2)
        logged = gateway.await_logged("request")

    assert (request.trace_id.hex(), call.trace_id.hex(), logged["trace_id"]) == (TRACE, TRACE, TRACE)
    assert (request.parent_span_id.hex(), call.parent_span_id) == (CALLER, request.span_id)
    assert (request.name, call.name) == ("POST generate", "image_generation gpt-image-2")
    assert (request.kind, call.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    (sent,) = openai_sim.requests
    assert sent.headers["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    values = attributes(call)
    assert values.items() >= REQUIRED.items()
    usage = reply.json()["usage"]
    assert values["gen_ai.usage.input_tokens"] == usage["input_tokens"]
    assert values["gen_ai.usage.output_tokens"] == usage["output_tokens"]
    answered = attributes(request)
    assert answered["gateway.request_id"] == values["gateway.request_id"] == reply.headers["x-request-id"]
    assert (answered["http.response.status_code"], answered["gateway.team"]) == (200, "search")
    assert (answered["gateway.outcome"], answered["gateway.cache"]) == ("served", "miss")
    assert collected.resource().items() >= {"service.name": "image-gateway"}.items()
    everything = b"".join(collected.raw)
    assert not any(secret in everything for secret in (b"heron", b"sk-operator", b"igw_search"))


def test_a_failed_call_has_its_reason_and_a_hit_has_no_call(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    with collector() as collected, start(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collected.url, **SOON) as gateway:
        openai_sim.answer(openai.FAULTS["server_error"])
        assert ask(http, gateway, f"an ibis {tmp_path}").status_code == 502
        call, request = await_spans(collected, 2)
        assert attributes(call)["error.type"] == "server_error"
        assert (call.status.code, request.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_ERROR)
        assert attributes(request)["gateway.outcome"] == "upstream_failed"
        for _ in range(2):
            assert ask(http, gateway, f"an ibis {tmp_path}").status_code == 200
        *_, hit = await_spans(collected, 5)
    assert (hit.name, attributes(hit)["gateway.cache"]) == ("POST generate", "hit")
    assert len(collected.spans()) == 5


def test_an_unknown_path_names_no_span(start: Start, http: httpx2.Client) -> None:
    with collector() as collected, start(OTEL_EXPORTER_OTLP_ENDPOINT=collected.url, **SOON) as gateway:
        http.get(f"{gateway.url}/v1/secret-path", headers={"traceparent": "junk"})
        (request,) = await_spans(collected, 1)
    assert (request.name, request.parent_span_id) == ("GET unknown", b"")
    assert b"secret-path" not in b"".join(collected.raw)


def test_the_service_name_can_be_changed(start: Start, http: httpx2.Client) -> None:
    more = {"OTEL_SERVICE_NAME": "pictures", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
    with collector() as collected, start(OTEL_EXPORTER_OTLP_ENDPOINT=collected.url, **SOON, **more) as gateway:
        http.get(f"{gateway.url}/v1/models")
        await_spans(collected, 1)
    assert collected.resource().items() >= {"service.name": "pictures", "deployment.environment.name": "test"}.items()


def test_pending_spans_are_exported_at_shutdown(start: Start, http: httpx2.Client) -> None:
    with collector() as collected:
        with start(OTEL_EXPORTER_OTLP_ENDPOINT=collected.url, OTEL_BSP_SCHEDULE_DELAY="60000") as gateway:
            http.get(f"{gateway.url}/v1/models")
            assert collected.raw == []
            gateway.signal()
            assert gateway.wait() == 0
        assert len(collected.spans()) == 1


def test_an_unreachable_collector_costs_spans_and_no_request(start: Start, http: httpx2.Client, tmp_path: Path) -> None:
    change(tmp_path, "drain_seconds: 310", "drain_seconds: 1")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with start(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **SOON) as gateway:
            assert {ask(http, gateway, f"an auk {number} {tmp_path}").status_code for number in range(5)} == {200}
            gateway.signal()
            assert gateway.wait() == 0


def test_without_a_collector_no_trace_is_propagated(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    with start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_SDK_DISABLED="true") as gateway:
        http.post(
            f"{gateway.url}{PATH}",
            json=build_body(f"an egret {tmp_path}"),
            headers={"authorization": "Bearer igw_search", **CARRIED},
        )
        assert "trace_id" not in gateway.await_logged("request")
    (sent,) = openai_sim.requests
    assert "traceparent" not in sent.headers
