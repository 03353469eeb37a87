"""Gateways as backends of each other: a chain works, and a loop is refused at once."""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.domain.loop_detection import HEADER, MAX_HOPS
from service.domain.team_access import key_digest
from tests.e2e.replicas import EVER, PATH, build_body
from tests.e2e.test_process import command
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess, becomes_true, with_lenient_health
from tests.support.images import png

pytest_plugins = ["tests.support.databases"]

ROOT = Path(__file__).parents[2]
KEY = "igw_search"
TEAMS = f"teams: {{search: {{keys: [{{id: search, sha256: {key_digest(KEY)}}}]}}}}\n"
VENDOR = "gateway: false # true"


def settings(folder: Path) -> Path:
    """Shipped settings with one team and another gateway as OpenAI."""
    config = folder / "config"
    shutil.copytree(ROOT / "config", config)
    (config / "teams.yaml").write_text(TEAMS)
    file = config / "gateway.yaml"
    text = with_lenient_health(file.read_text()).replace("grace_seconds: 5", "grace_seconds: 0")
    assert text.count(VENDOR) == 1
    file.write_text(text.replace(VENDOR, "gateway: true # true"))
    return config


def gateway(folder: Path, behind: str, key: str, *options: str, **environment: str) -> GatewayProcess:
    """A gateway with its own stores, in front of the gateway at an address."""
    known = {"IMAGE_GATEWAY_CONFIG": str(settings(folder)), "OPENAI_BASE_URL": f"{behind}/v1", "OPENAI_API_KEY": key}
    return GatewayProcess(folder / "data", known | environment, options=options)


def post(http: httpx2.Client, to: GatewayProcess, prompt: str, key: str = KEY, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post(to.url + PATH, json=build_body(prompt), headers={"authorization": f"Bearer {key}", **named})


def booked(http: httpx2.Client, at: GatewayProcess, key: str = KEY) -> tuple[int, Decimal]:
    """Return the number of a team's entries in the ledger of a gateway, and their cost."""
    usage = http.get(f"{at.url}/v1/usage?{EVER}", headers={"authorization": f"Bearer {key}"}).json()["total"]
    return usage["entries"], Decimal(str(usage["cost_usd"]))


def ended(http: httpx2.Client, at: GatewayProcess, after: str) -> set[str]:
    """Return the outcomes of a team's entries, once a later entry is in the ledger."""
    tag = key_digest(after)[:16]

    def seen() -> dict[str, set[str]]:
        reply = http.get(
            f"{at.url}/v1/usage?{EVER}&group_by=status,tag:project", headers={"authorization": f"Bearer {KEY}"}
        )
        outcomes: dict[str, set[str]] = {}
        for row in reply.json()["data"]:
            outcomes.setdefault(row["group"]["tag:project"], set()).add(row["group"]["status"])
        return outcomes

    assert post(http, at, after, x_gateway_tags=f"project={tag}").status_code == 200
    assert becomes_true(lambda: tag in seen())
    return set().union(*seen().values())


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory, shipped: Path) -> Iterator[GatewayProcess]:
    """The second gateway, with the sandbox."""
    with GatewayProcess(tmp_path_factory.mktemp("back") / "data", {"IMAGE_GATEWAY_CONFIG": str(shipped)}) as running:
        yield running


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, back: GatewayProcess) -> Iterator[GatewayProcess]:
    """The first gateway."""
    with gateway(tmp_path_factory.mktemp("front"), back.url, back.key) as running:
        yield running


def test_an_image_passes_both_gateways_and_costs_the_same_in_both_ledgers(
    front: GatewayProcess, back: GatewayProcess, http: httpx2.Client
) -> None:
    before = booked(http, front), booked(http, back, back.key)

    first, again = post(http, front, "a fox"), post(http, front, "a fox")
    anew = post(http, front, "a fox", cache_control="no-store")

    assert [reply.status_code for reply in (first, again, anew)] == [200] * 3
    assert [reply.headers["x-gateway-cache"] for reply in (first, again, anew)] == ["miss", "hit", "bypass"]
    assert first.headers["x-gateway-backend"] == "openai"
    cost = Decimal(first.headers["x-gateway-cost-usd"])
    assert cost == Decimal(anew.headers["x-gateway-cost-usd"]) > 0
    for at, key, entries, was in ((front, KEY, 3, before[0]), (back, back.key, 2, before[1])):
        expected = was[0] + entries, was[1] + 2 * cost
        assert becomes_true(lambda at=at, key=key, expected=expected: booked(http, at, key) == expected)  # type: ignore[misc]


def test_an_edit_passes_both_gateways(front: GatewayProcess, http: httpx2.Client) -> None:
    reply = http.post(
        f"{front.url}/v1/images/edits",
        data={"prompt": "a hat", "quality": "low", "size": "1024x1024", "n": "2"},
        files={"image": ("fox.png", png(), "image/png")},
        headers={"authorization": f"Bearer {KEY}"},
    )

    assert (reply.status_code, len(reply.json()["data"])) == (200, 2)


def test_a_stream_passes_both_gateways_with_its_previews(front: GatewayProcess, http: httpx2.Client) -> None:
    body = build_body("a cat") | {"stream": True, "partial_images": 2}
    reply = http.post(front.url + PATH, json=body, headers={"authorization": f"Bearer {KEY}"})

    kinds = [line.removeprefix("event: ") for line in reply.text.splitlines() if line.startswith("event: ")]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("moderation_blocked", 400, "moderation_blocked"),
        ("rate_limit_exceeded", 429, "rate_limit_exceeded"),
        ("server_error", 502, "upstream_error"),
    ],
)
def test_an_error_passes_both_gateways_and_costs_nothing(
    front: GatewayProcess, http: httpx2.Client, fault: str, status: int, code: str
) -> None:
    reply = post(http, front, f"[sandbox fail={fault}] a fox")

    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert "may_be_billed" not in reply.json()["error"]
    assert "failed" not in ended(http, front, after=f"what comes after {fault}")


def test_the_ids_of_earlier_gateways_are_forwarded(tmp_path: Path, http: httpx2.Client, openai_sim: Simulator) -> None:
    with gateway(tmp_path, openai_sim.base_url.removesuffix("/v1"), "sk-operator") as running:
        for headers in ({}, {HEADER: "g1, g2"}):
            assert post(http, running, f"a fox {len(headers)}", **headers).status_code == 200

    alone, behind = (request.headers[HEADER].split(",") for request in openai_sim.requests)
    assert behind == ["g1", "g2", *alone]
    assert len(alone) == 1
    assert len(alone[0]) == 16


@pytest.mark.parametrize(
    ("hops", "status", "code"),
    [
        (",".join(f"g{number}" for number in range(MAX_HOPS + 1)), 508, "loop_detected"),
        ("a b", 400, "invalid_value"),
    ],
)
def test_a_request_with_invalid_hops_is_refused_before_a_hold(
    front: GatewayProcess, http: httpx2.Client, hops: str, status: int, code: str
) -> None:
    reply = post(http, front, "what goes round", **{HEADER: hops})

    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.headers["x-should-retry"] == "false"
    assert "failed" not in ended(http, front, after=f"what comes after {code}")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check_loop(http: httpx2.Client, *gateways: GatewayProcess) -> None:
    """Check that a request in a loop is refused at once and costs nothing."""
    reply = post(http, gateways[0], "a fox")

    assert (reply.status_code, reply.headers["x-should-retry"]) == (502, "false")
    assert "may_be_billed" not in reply.json()["error"]
    assert any(line.get("status") == 508 for one in gateways for line in one.logged())
    assert [booked(http, one)[0] for one in gateways] == [0] * len(gateways)


def test_two_gateways_that_call_each_other_refuse_the_loop(tmp_path: Path, http: httpx2.Client) -> None:
    ports = free_port(), free_port()
    addresses = [f"http://127.0.0.1:{port}" for port in ports]
    with (
        gateway(tmp_path / "one", addresses[1], KEY, "--port", str(ports[0])) as one,
        gateway(tmp_path / "other", addresses[0], KEY, "--port", str(ports[1])) as other,
    ):
        check_loop(http, one, other)


def test_replicas_that_call_each_other_refuse_the_loop(
    tmp_path: Path, http: httpx2.Client, redis_url: str, new_database: Callable[[str], str]
) -> None:
    ports, shared = (free_port(), free_port()), {"REDIS_URL": redis_url, "DATABASE_URL": new_database("sqlite")}
    shared |= {"STORAGE_URL": str(tmp_path / "pictures"), "URL_SIGNING_KEY": "0123456789abcdef" * 2}
    addresses = [f"http://127.0.0.1:{port}" for port in ports]
    with (
        gateway(tmp_path / "one", addresses[1], KEY, "--port", str(ports[0]), **shared) as one,
        gateway(tmp_path / "other", addresses[0], KEY, "--port", str(ports[1]), **shared) as other,
    ):
        check_loop(http, one, other)


def refused(tmp_path: Path, words: tuple[str, ...], **environment: str) -> str:
    """Return the one-line error of a command that does not start."""
    done = command(*words, cwd=tmp_path, environment={"IMAGE_GATEWAY_CONFIG": str(settings(tmp_path)), **environment})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


@pytest.mark.parametrize("words", [("serve", "--dev"), ("check",)], ids=lambda words: words[0])
def test_a_base_url_of_the_gateway_itself_stops_the_start(tmp_path: Path, words: tuple[str, ...]) -> None:
    port = free_port()
    error = refused(
        tmp_path,
        (*words, "--port", str(port)),
        OPENAI_BASE_URL=f"http://localhost:{port}/v1",
        OPENAI_API_KEY=KEY,
    )

    assert error.startswith(f"image-gateway: OPENAI_BASE_URL: http://localhost:{port}/v1 is this gateway itself ")


def test_a_base_url_of_the_admin_port_stops_the_start(tmp_path: Path) -> None:
    port = str(free_port())
    own = {"ADMIN_PORT": port, "OPENAI_BASE_URL": f"http://0.0.0.0:{port}/v1", "OPENAI_API_KEY": KEY}
    error = refused(tmp_path, ("serve", "--dev", "--port", "0"), **own)

    assert "is this gateway itself (it listens on 127.0.0.1 port" in error


def test_a_gateways_key_for_a_vendor_stops_the_start(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    environment: dict[str, Any] = {"IMAGE_GATEWAY_CONFIG": str(tmp_path / "config"), "OPENAI_API_KEY": KEY}
    done = command("check", cwd=tmp_path, environment=environment)

    assert done.returncode == 2
    assert done.stderr.startswith("image-gateway: OPENAI_API_KEY: is the key of a gateway (igw_…)")
    assert KEY not in done.stderr
