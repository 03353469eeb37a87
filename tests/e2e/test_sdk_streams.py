"""Streams, and replies that begin before their result is known, at callers with the vendors' SDKs."""

import shutil
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.domain.team_access import key_digest
from tests.e2e.replicas import EVER, PATH, change
from tests.simulators.images import Sketch, encode_image
from tests.simulators.openai_faults import FAULTS
from tests.simulators.openai_models import PARTIAL_TOKENS, REFERENCE_TOKENS, TWO, image_tokens
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess, with_lenient_health
from tests.support.gateway_site import await_true
from tests.support.images import png
from tests.support.sdk_js import Line, SdkOutcome, digest
from tests.support.sdk_py import JAVASCRIPT, PYTHONS, Call, ClientTimeouts, Sdk, sdk

ROOT = Path(__file__).parents[2]
TEAMS = "teams:\n" + "".join(
    f"  {name}: {{{more}keys: [{{id: {name}, sha256: {key_digest(f'igw_{name}')}}}]}}\n"
    for name, more in {"search": "", "patient": "keepalive: true, "}.items()
)
KINDS = {"generate": ("image_generation", "ImageGen"), "edit": ("image_edit", "ImageEdit")}
LOOK = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
DRAWN = image_tokens(TWO, "low", "1024x1024")
NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "total_tokens": 0,
}
USD_PER_TOKEN = {"text_tokens": 5e-6, "image_tokens": 8e-6, "drawn": 30e-6}
SHORT = ClientTimeouts(seconds=1.2)
SLOW = Answer(delay=2.0)
ASKS_TO_WAIT = {"x-gateway-keepalive": "true"}


def openai_gateway_in(folder: Path, server: Simulator, **changes: str) -> GatewayProcess:
    """A gateway in front of OpenAI, with these changes of the shipped gateway.yaml."""
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "config" / "teams.yaml").write_text(TEAMS)
    settings = folder / "config" / "gateway.yaml"
    settings.write_text(with_lenient_health(settings.read_text()))
    change(folder, "grace_seconds: 5", "grace_seconds: 0")
    for name, value in changes.items():
        change(folder, f"{name}: 15 ", f"{name}: {value} ")
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(folder / "config"),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": server.base_url,
    }
    return GatewayProcess(folder / "data", environment, options=())


@pytest.fixture(scope="module")
def quiet_gateway(tmp_path_factory: pytest.TempPathFactory, openai_server: Simulator) -> Iterator[GatewayProcess]:
    """A gateway that sends nothing before the first event: an earlier failure is a status, also on a busy machine."""
    with openai_gateway_in(tmp_path_factory.mktemp("streams"), openai_server) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, openai_server: Simulator) -> Iterator[GatewayProcess]:
    """A gateway that sends a comment, or a space, after 0.3 seconds of silence."""
    with openai_gateway_in(tmp_path_factory.mktemp("streams"), openai_server, keepalive_seconds="0.3") as running:
        yield running


@pytest.fixture(scope="module", params=[*PYTHONS, JAVASCRIPT])
def any_sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    with sdk(request.param) as called:
        yield called


@pytest.fixture(scope="module", params=PYTHONS)
def python_sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    with sdk(request.param) as called:
        yield called


@dataclass(frozen=True, slots=True)
class Fox:
    """Requests for one fox, under one tag."""

    url: str
    folder: Path
    key: str = "igw_search"

    def __call__(self, operation: str = "generate", timeouts: ClientTimeouts | None = None, **params: Any) -> Call:
        image = self.folder / "image.png"
        image.write_bytes(png())
        body = {"model": "gpt-image-2", "prompt": self.prompt, "size": "1024x1024", "quality": "low"}
        return Call(
            url=self.url,
            key=self.key,
            operation=operation,
            params=body | params,
            files={"image": image} if operation == "edit" else {},
            headers={"x-gateway-tags": f"project={self.folder.name}"},
            timeouts=timeouts or ClientTimeouts(),
        )

    @property
    def prompt(self) -> str:
        return f"a red fox {self.folder.name}"

    def booked(self, http: httpx2.Client, calls: int = 1) -> Mapping[str, Any]:
        """Wait for `calls` entries in the ledger. Returns their sum."""

        def row() -> dict[str, Any]:
            url = f"{self.url}/v1/usage?{EVER}&group_by=tag:project"
            rows = http.get(url, headers={"authorization": f"Bearer {self.key}"}).json()["data"]
            return next((row for row in rows if row["group"]["tag:project"] == self.folder.name), {"entries": 0})

        await_true(lambda: row()["entries"] >= calls)
        return row()


@pytest.fixture
def fox(gateway: GatewayProcess, tmp_path: Path) -> Fox:
    return Fox(gateway.url, tmp_path)


@pytest.fixture
def quiet_fox(quiet_gateway: GatewayProcess, tmp_path: Path) -> Fox:
    return Fox(quiet_gateway.url, tmp_path)


def drawn(size: tuple[int, int] = (1024, 1024), index: int = 0) -> dict[str, object]:
    """Return the digest of a simulator's image."""
    return digest(encode_image(Sketch(size=size, index=index)))


def types(outcome: SdkOutcome) -> list[str]:
    assert outcome.error == {}
    assert outcome.ended
    return [event["type"] for event in outcome.events]


def names(kind: str, partials: int, images: int = 1) -> list[str]:
    return [f"{kind}.partial_image"] * partials + [f"{kind}.completed"] * images


def price(usage: Mapping[str, Any]) -> float:
    """Compute the cost by the price list of gpt-image-2."""
    input_cost = sum(count * USD_PER_TOKEN[kind] for kind, count in usage["input_tokens_details"].items())
    return float(input_cost + usage["output_tokens"] * USD_PER_TOKEN["drawn"])


@pytest.mark.parametrize("operation", KINDS)
def test_previews_precede_the_image(
    any_sdk: Sdk, fox: Fox, http: httpx2.Client, openai_sim: Simulator, operation: str
) -> None:
    kind, typed = KINDS[operation]
    cost = 0.0
    for partials in range(4):
        outcome = any_sdk(fox(operation, stream=True, partial_images=partials, prompt=f"{partials} {fox.prompt}"))
        assert types(outcome) == names(kind, partials)
        classes = [f"{typed}PartialImageEvent"] * partials + [f"{typed}CompletedEvent"]
        assert list(outcome.classes) in ([], classes)  # JavaScript has no classes of events
        assert [event["b64_json"] for event in outcome.events] == [drawn()] * (partials + 1)
        assert [event.get("partial_image_index") for event in outcome.events] == [*range(partials), None]
        assert all(LOOK.items() <= event.items() and event["created_at"] > 0 for event in outcome.events)
        usage = outcome.events[-1]["usage"]
        assert usage["output_tokens"] == DRAWN + partials * PARTIAL_TOKENS
        assert usage["input_tokens_details"]["image_tokens"] == (REFERENCE_TOKENS if operation == "edit" else 0)
        assert len(openai_sim.requests) == partials + 1
        cost += price(usage)
        booked = fox.booked(http, partials + 1)
        assert (booked["entries"], booked["images"], booked["uncertain_usd"]) == (partials + 1, partials + 1, 0)
        assert booked["cost_usd"] == pytest.approx(cost)


def test_a_preview_arrives_before_the_next_one_is_sent(any_sdk: Sdk, fox: Fox, openai_sim: Simulator) -> None:
    openai_sim.answer(Answer(fault="hold_mid_body"))
    seen: list[Line] = []

    def on_line(line: Line) -> None:
        seen.append(line)
        if [printed["what"] for printed in seen].count("event") == 2:
            openai_sim.release(1)

    assert types(any_sdk(fox(stream=True, partial_images=3), on_line)) == names("image_generation", 3)


def test_a_cached_image_is_streamed_without_previews(
    any_sdk: Sdk, fox: Fox, http: httpx2.Client, openai_sim: Simulator
) -> None:
    generated, cached = (any_sdk(fox(stream=True, partial_images=2)) for _ in range(2))
    assert types(generated) == names("image_generation", 2)
    assert types(cached) == names("image_generation", 0)
    assert cached.events[0]["b64_json"] == generated.events[-1]["b64_json"]
    assert (cached.headers["x-gateway-cache"], float(cached.headers["x-gateway-cost-usd"])) == ("hit", 0)
    assert len(openai_sim.requests) == 1
    assert fox.booked(http, 2)["cost_usd"] == pytest.approx(price(generated.events[-1]["usage"]))


@pytest.mark.parametrize("operation", KINDS)
def test_two_images_are_two_events_without_previews(
    any_sdk: Sdk, fox: Fox, http: httpx2.Client, openai_sim: Simulator, operation: str
) -> None:
    streamed = any_sdk(fox(operation, stream=True, partial_images=3, n=2))
    whole = any_sdk(fox(operation, n=2))
    assert types(streamed) == names(KINDS[operation][0], 0, 2)
    assert [event["b64_json"] for event in streamed.events] == [drawn(), drawn(index=1)] == whole.images
    for count in ("input_tokens", "output_tokens", "total_tokens"):
        assert sum(event["usage"][count] for event in streamed.events) == whole.result["usage"][count]
    assert whole.headers["x-gateway-cache"] == "hit"
    assert len(openai_sim.requests) == 1
    booked = fox.booked(http, 2)
    assert booked["cost_usd"] == booked["saved_usd"] == pytest.approx(price(whole.result["usage"]))


@pytest.mark.parametrize("operation", KINDS)
def test_together_streams_one_image(
    any_sdk: Sdk,
    together_gateway: GatewayProcess,
    http: httpx2.Client,
    together_sim: Simulator,
    tmp_path: Path,
    operation: str,
) -> None:
    fox = Fox(together_gateway.url, tmp_path, together_gateway.key)
    call = fox(operation, stream=True, partial_images=3, model="black-forest-labs/FLUX.2-pro", size="1024x768")
    outcome = any_sdk(replace(call, params={name: value for name, value in call.params.items() if name != "quality"}))
    assert types(outcome) == names(KINDS[operation][0], 0)
    (event,) = outcome.events
    assert event["b64_json"] == drawn((1024, 768))
    assert event["usage"] == NO_TOKENS
    assert (event["size"], event["quality"], event["background"]) == ("1024x768", "auto", "opaque")
    assert len(together_sim.requests) == 1
    assert fox.booked(http)["cost_usd"] == pytest.approx(0.03 * 1024 * 768 / 1e6)


@pytest.mark.parametrize("operation", KINDS)
def test_the_sandbox_streams_previews_of_its_image(
    any_sdk: Sdk, sandbox_gateway: GatewayProcess, http: httpx2.Client, tmp_path: Path, operation: str
) -> None:
    fox = Fox(sandbox_gateway.url, tmp_path, sandbox_gateway.key)
    outcome, whole = any_sdk(fox(operation, stream=True, partial_images=3)), any_sdk(fox(operation))
    assert types(outcome) == names(KINDS[operation][0], 3)
    assert all(LOOK.items() <= event.items() for event in outcome.events)
    address = f"{sandbox_gateway.url}/v1/files/{outcome.events[-1]['id']}/content"
    stored = http.get(address, headers=sandbox_gateway.headers).content
    assert outcome.events[-1]["b64_json"] == digest(b64encode(stored)) != whole.images[0]
    assert len({event["b64_json"]["sha256"] for event in outcome.events}) == 4
    usage = [answer["usage"]["output_tokens"] for answer in (outcome.events[-1], whole.result)]
    assert usage == [DRAWN + 3 * PARTIAL_TOKENS, DRAWN]


IMPOSSIBLE: Sequence[tuple[dict[str, Any], str]] = [
    ({"stream": True, "output_format": "gif", "model": "gpt-image-2.6-flare"}, "stream"),
    ({"stream": True, "output_format": "svg", "model": "gpt-image-2.6-flare"}, "stream"),
    ({"stream": True, "response_format": "url"}, "response_format"),
    ({"partial_images": 2}, "partial_images"),
    ({"stream": True, "partial_images": 4}, "partial_images"),
]


def test_an_unsupported_stream_is_a_bad_request(any_sdk: Sdk, fox: Fox, openai_sim: Simulator) -> None:
    for params, param in IMPOSSIBLE:
        outcome = any_sdk(fox(**params))
        facts = [outcome.error.get(name) for name in ("class", "status", "type", "param")]
        assert facts == ["BadRequestError", 400, "invalid_request_error", param], params
    assert openai_sim.requests == []


def test_a_failure_before_the_first_event_raises_its_class(any_sdk: Sdk, quiet_fox: Fox, openai_sim: Simulator) -> None:
    classes = {"rate_limit_images": ("RateLimitError", 429), "moderation_blocked": ("BadRequestError", 400)}
    for fault, (name, status) in classes.items():
        openai_sim.answer(FAULTS[fault])
        outcome = any_sdk(quiet_fox(stream=True, partial_images=2, prompt=f"{fault} {quiet_fox.prompt}"))
        assert (outcome.error["class"], outcome.error["status"], outcome.events) == (name, status, [])
        assert outcome.error["request_id"] == outcome.headers["x-request-id"]


def test_a_failure_after_a_preview_is_raised_during_the_stream(any_sdk: Sdk, fox: Fox, openai_sim: Simulator) -> None:
    openai_sim.answer(FAULTS["error_in_stream"])
    outcome = any_sdk(fox(stream=True, partial_images=2))
    assert [event["type"] for event in outcome.events] == names("image_generation", 1, 0)
    assert (outcome.error["class"], outcome.error["code"], outcome.ended) == ("APIError", "moderation_blocked", False)
    assert len(openai_sim.requests) == 1


def test_a_stream_outlasts_the_timeout_of_its_client(any_sdk: Sdk, fox: Fox, openai_sim: Simulator) -> None:
    openai_sim.answer(SLOW)
    assert types(any_sdk(fox(timeouts=SHORT, stream=True, partial_images=1))) == names("image_generation", 1)
    assert len(openai_sim.requests) == 1


CLIENTS = ("openai", "together")


def asked(call: Call, client: str) -> Call:
    """Convert a call to the other vendor's SDK, whose images have a width and a height."""
    if client == "openai":
        return call
    params = {name: call.params[name] for name in ("model", "prompt")}
    return replace(call, sdk=client, params=params | {"width": 1024, "height": 1024, "response_format": "base64"})


@pytest.mark.parametrize(("client", "team"), [*((client, "search") for client in CLIENTS), ("together", "patient")])
def test_a_reply_with_keepalive_outlasts_the_timeout_of_its_client(
    python_sdk: Sdk, gateway: GatewayProcess, tmp_path: Path, openai_sim: Simulator, client: str, team: str
) -> None:
    """A header requests keepalive, or a setting of the team."""
    openai_sim.answer(SLOW)
    call = asked(Fox(gateway.url, tmp_path, f"igw_{team}")(timeouts=SHORT), client)
    outcome = python_sdk(replace(call, headers=ASKS_TO_WAIT if team == "search" else {}))
    assert outcome.error == {}
    assert outcome.images == [drawn()]
    assert len(openai_sim.requests) == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_without_keepalive_a_retry_gets_the_generated_image(
    python_sdk: Sdk, fox: Fox, http: httpx2.Client, openai_sim: Simulator, client: str
) -> None:
    openai_sim.answer(SLOW)
    outcome = python_sdk(asked(fox(timeouts=replace(SHORT, retries=2)), client))
    assert outcome.error == {}
    assert outcome.images == [drawn()]
    assert len(openai_sim.requests) == 1
    booked = fox.booked(http, 2)
    assert booked["cost_usd"] == booked["saved_usd"] > 0


def test_an_answer_behind_spaces_is_logged_like_any_other(
    fox: Fox, gateway: GatewayProcess, http: httpx2.Client, openai_sim: Simulator
) -> None:
    headers = ASKS_TO_WAIT | {"authorization": f"Bearer {fox.key}"}
    reply = http.post(fox.url + PATH, json={"prompt": fox.prompt}, headers=headers)
    assert "content-length" not in reply.headers
    line = gateway.await_logged("request", request_id=reply.headers["x-request-id"])
    assert (line["status"], line["backend"], line["cache"], line["delivered"]) == (200, "openai", "miss", 1)
    assert line["cost_usd"] == pytest.approx(price(reply.json()["usage"]))
    assert len(openai_sim.requests) == 1


def test_a_failure_behind_spaces_is_an_envelope(fox: Fox, http: httpx2.Client, openai_sim: Simulator) -> None:
    openai_sim.answer(replace(FAULTS["moderation_blocked"], delay=1.0))
    headers = ASKS_TO_WAIT | {"authorization": f"Bearer {fox.key}"}
    reply = http.post(fox.url + PATH, json={"prompt": fox.prompt}, headers=headers)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert reply.content.startswith(b"  ")
    assert reply.json()["error"]["code"] == "moderation_blocked"


def test_a_refusal_before_a_call_has_its_status(fox: Fox, http: httpx2.Client, openai_sim: Simulator) -> None:
    headers = ASKS_TO_WAIT | {"authorization": f"Bearer {fox.key}"}
    wrong: dict[str, Any] = {"json": {"prompt": fox.prompt, "size": "1x1"}, "headers": headers}
    unclear = {"json": {"prompt": fox.prompt}, "headers": headers | {"x-gateway-keepalive": "1"}}
    for request, param in ((wrong, "size"), (unclear, "x-gateway-keepalive")):
        reply = http.post(fox.url + PATH, **request)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert openai_sim.requests == []


def check_reply_without_images(outcome: SdkOutcome) -> None:
    assert outcome.error == {}
    assert outcome.result.get("data") is None
    assert outcome.result["error"]["code"] == "moderation_blocked"


def test_openais_sdks_read_a_late_failure_as_a_reply_without_images(
    any_sdk: Sdk, fox: Fox, openai_sim: Simulator
) -> None:
    openai_sim.answer(replace(FAULTS["moderation_blocked"], delay=0.7))
    check_reply_without_images(any_sdk(replace(fox(), headers=ASKS_TO_WAIT)))


def test_togethers_sdks_read_a_late_failure_as_a_reply_without_images(
    python_sdk: Sdk, fox: Fox, openai_sim: Simulator
) -> None:
    openai_sim.answer(replace(FAULTS["moderation_blocked"], delay=0.7))
    check_reply_without_images(python_sdk(replace(asked(fox(), "together"), headers=ASKS_TO_WAIT)))
