"""Routes at callers and operators: restricted teams, several accounts of a vendor, notes, changed policies."""

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.domain.team_access import key_digest
from tests.simulators import openai
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess

ADMIN = secrets.token_hex(32)
PATH = "/v1/images/generations"
FLARE = "gpt-image-2.5-flare"
ROUTE = (
    f"{{ backend: openai, model: {FLARE}, carries: gpt-image-2.5, formats: [png, jpeg, webp], price: gpt-image-2.5 }}"
)
EUROPE = """
  openai-eu:
    dialect: openai
    base_url: https://eu.api.openai.com/v1
    api_key_env: OPENAI_EU_API_KEY
    headers: { OpenAI-Organization: org-eu }
  openai-off:
    dialect: openai
    base_url: https://api.openai.com/v1
    api_key_env: OPENAI_OFF_API_KEY
sandbox:
"""


def team(name: str, bounds: str = "") -> str:
    return f"  {name}: {{{bounds} keys: [{{id: {name}, sha256: {key_digest(f'igw_{name}')}}}]}}\n"


TEAMS = "teams:\n" + "".join(
    (
        team("free"),
        team("frugal", "cache_seconds: 60,"),
        team("pinned", "backends: [together],"),
        team("europe", "backends: [openai-eu],"),
        team("barred", "barred_backends: [openai, together],"),
        team("nobody", "backends: [openai-off],"),
    )
)


def edited(text: str, was: str, becomes: str) -> str:
    assert text.count(was) == 1, was
    return text.replace(was, becomes)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Path:
    folder = tmp_path_factory.mktemp("routes") / "config"
    shutil.copytree(config, folder)
    (folder / "teams.yaml").write_text(TEAMS)
    gateway, models = folder / "gateway.yaml", folder / "models.yaml"
    gateway.write_text(edited(gateway.read_text(), "\nsandbox:\n", EUROPE))
    routed = edited(models.read_text(), f"      - {ROUTE}\n", "".join(f"      - {_via(name)}\n" for name in VIA))
    words = "        model: openai/gpt-image-2\n        carries: references\n"
    models.write_text(edited(routed, words, f"{words}        delivers: medium\n"))
    return folder


VIA = ("openai-off", "openai", "openai-eu")


def _via(backend: str) -> str:
    return ROUTE.replace("backend: openai", f"backend: {backend}")


@pytest.fixture(scope="module")
def europe() -> Iterator[Simulator]:
    with openai.simulator() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    settings: Path,
    europe: Simulator,
    openai_server: Simulator,
    together_server: Simulator,
) -> Iterator[GatewayProcess]:
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(settings),
        "ADMIN_API_KEY": ADMIN,
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_server.base_url,
        "OPENAI_EU_API_KEY": "sk-europe",
        "OPENAI_EU_BASE_URL": europe.base_url,
        "TOGETHER_API_KEY": "tgp-operator",
        "TOGETHER_BASE_URL": together_server.base_url,
    }
    with GatewayProcess(tmp_path_factory.mktemp("state"), environment, options=()) as process:
        yield process


class Caller:
    """A caller with the key of a team."""

    def __init__(self, http: httpx2.Client, url: str) -> None:
        self._http = http
        self._url = url

    def ask(self, who: str, **changes: Any) -> httpx2.Response:
        body = {"model": "gpt-image-2", "prompt": "fox", "size": "1024x1024", **changes}
        return self._http.post(self._url + PATH, json=body, headers={"authorization": f"Bearer igw_{who}"})

    def read(self, path: str, secret: str) -> Any:
        reply = self._http.get(self._url + path, headers={"authorization": f"Bearer {secret}"})
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture
def caller(
    http: httpx2.Client,
    gateway: GatewayProcess,
    europe: Simulator,
    openai_sim: Simulator,
    together_sim: Simulator,
) -> Caller:
    europe.reset()
    del openai_sim, together_sim  # removes queued answers of the test before
    return Caller(http, gateway.url)


def test_two_accounts_of_a_vendor_are_two_backends(caller: Caller, europe: Simulator, openai_sim: Simulator) -> None:
    here, there = caller.ask("free", model=FLARE), caller.ask("europe", model=FLARE)

    assert (here.headers["x-gateway-backend"], there.headers["x-gateway-backend"]) == ("openai", "openai-eu")
    ((at_home,), (abroad,)) = openai_sim.requests, europe.requests
    assert (at_home.headers["authorization"], abroad.headers["authorization"]) == (
        "Bearer sk-operator",
        "Bearer sk-europe",
    )
    assert ("openai-organization" in at_home.headers, abroad.headers["openai-organization"]) == (False, "org-eu")


def test_a_restricted_team_is_served_by_an_allowed_backend_or_refused_with_the_reason(caller: Caller) -> None:
    assert caller.ask("pinned").headers["x-gateway-backend"] == "together"
    assert caller.ask("barred", model=FLARE).headers["x-gateway-backend"] == "openai-eu"
    for who, field in (("pinned", {"quality": "high"}), ("barred", {}), ("europe", {}), ("nobody", {"model": FLARE})):
        reply = caller.ask(who, **field)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (403, "not_allowed", "model"), reply.text
        assert error["message"].startswith(f"Team '{who}' may not use the backend 'openai")
        assert error["message"].endswith("', and no other one can draw this.")
        assert reply.headers["x-should-retry"] == "false"


def test_a_restricted_team_sees_models_and_prices_of_its_backends(caller: Caller) -> None:
    assert [model["id"] for model in caller.read("/v1/models", "igw_europe")["data"]] == [FLARE]
    assert caller.read("/v1/models", "igw_nobody")["data"] == []
    pinned, free = (caller.read("/v1/models/gpt-image-2", f"igw_{who}") for who in ("pinned", "free"))
    assert (pinned["backends"], free["backends"]) == (["together"], ["openai", "together"])
    assert [price["backend"] for price in pinned["prices"]] == ["together"]


def test_the_operator_sees_the_restrictions_of_a_team(caller: Caller) -> None:
    teams = {team["name"]: team for team in caller.read("/admin/v1/teams", ADMIN)["data"]}

    assert {name: (team["backends"], team["barred_backends"]) for name, team in teams.items()} == {
        "free": ([], []),
        "frugal": ([], []),
        "pinned": (["together"], []),
        "europe": (["openai-eu"], []),
        "barred": ([], ["openai", "together"]),
        "nobody": (["openai-off"], []),
    }
    assert caller.read("/admin/v1/teams/barred", ADMIN)["barred_backends"] == ["openai", "together"]


def test_a_route_that_delivers_one_tier_serves_it_without_the_vendors_field(
    caller: Caller, together_sim: Simulator
) -> None:
    reply = caller.ask("pinned", quality="medium")

    assert reply.headers["x-gateway-route-notes"] == "tier=medium by route"
    assert reply.json()["quality"] == "medium"
    assert "quality" not in together_sim.requests[0].fields


@pytest.mark.parametrize(
    ("who", "asked", "notes"),
    [
        ("free", {}, None),
        ("free", {"output_format": "webp", "output_compression": 50, "n": 3}, None),
        ("pinned", {}, None),
        ("pinned", {"output_format": "webp"}, "transcoded=webp"),
        ("pinned", {"n": 6}, "n=2 calls"),
        (
            "pinned",
            {"n": 9, "output_format": "jpeg", "output_compression": 50, "quality": "medium"},
            "transcoded=jpeg, tier=medium by route, n=3 calls",
        ),
        ("pinned", {"stream": True, "partial_images": 2}, "partials=none"),
        ("free", {"stream": True, "partial_images": 2}, None),
    ],
)
def test_a_reply_names_the_emulated_fields(caller: Caller, who: str, asked: dict[str, Any], notes: str | None) -> None:
    reply = caller.ask(who, **asked)

    assert reply.status_code == 200, reply.text
    assert reply.headers.get("x-gateway-route-notes") == notes


def test_a_cache_hit_has_no_route_notes(caller: Caller) -> None:
    body: dict[str, Any] = {"prompt": "an owl", "quality": "low", "n": 2}
    body |= {"stream": True, "partial_images": 1}

    miss, hit = (caller.ask("frugal", **body) for _ in range(2))

    assert [reply.headers["x-gateway-cache"] for reply in (miss, hit)] == ["miss", "hit"]
    assert miss.headers["x-gateway-route-notes"] == "partials=none"
    assert "x-gateway-route-notes" not in hit.headers


def test_a_changed_policy_takes_effect_without_a_restart(
    caller: Caller, gateway: GatewayProcess, settings: Path
) -> None:
    models = settings / "models.yaml"
    before = models.read_text()
    head = f"  {FLARE}:\n    <<: *gpt-image-2-5\n"
    weighted = edited(before, head, f"{head}    policy: weighted\n")
    models.write_text(edited(weighted, _via("openai"), _via("openai").replace(" }", ", weight: 0 }")))
    gateway.await_logged("settings reloaded")

    served = Counter(caller.ask("free", model=FLARE).headers["x-gateway-backend"] for _ in range(8))

    assert served == {"openai-eu": 8}
