"""Admin API of a running gateway: issued keys that work and stop within seconds, and usage that adds up."""

import csv
import io
import json
import secrets
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pyarrow import parquet

from service.domain.team_access import key_digest
from tests.support.focus_results import failed
from tests.support.gateway import GatewayProcess, becomes_true

ADMIN = secrets.token_hex(32)
TEAMS = f"""
teams:
  search:
    limits: {{usd_per_day: 50, images_per_minute: 1000}}
    limits_by_tier: {{high: {{usd_per_day: 20, concurrent_images: 4}}}}
    limits_by_model: {{gpt-image-2: {{usd_per_month: 500}}}}
    tiers: [low, medium, high]
    keys: [{{id: search-1, sha256: {key_digest("igw_search")}, limits: {{requests_per_minute: 500}}}}]
  ads:
    keys: [{{id: ads-1, sha256: {key_digest("igw_ads")}}}]
  painters:
    keys: [{{id: painters-1, sha256: {key_digest("igw_painters")}}}]
"""
LEAVERS = f"""
  leavers:
    keys: [{{id: leavers-1, sha256: {key_digest("igw_leavers")}}}]
"""


class Site:
    """A gateway, with calls of its callers and of its operators."""

    def __init__(self, http: httpx2.Client, gateway: GatewayProcess, config: Path) -> None:
        self.gateway = gateway
        self.config = config
        self.generated = 0
        self._http = http

    def admin(self, method: str, path: str, body: object = None, **params: str) -> httpx2.Response:
        """Call the admin API. A body that is a text is sent unchanged."""
        return self._http.request(
            method,
            f"{self.gateway.url}/admin/v1{path}",
            content=body if isinstance(body, str) else None if body is None else json.dumps(body),
            params=params or None,
            headers={"authorization": f"Bearer {ADMIN}"},
        )

    def knock(self, path: str, header: str | None) -> httpx2.Response:
        """Call the admin API with another header."""
        headers = {"authorization": header} if header else {}
        return self._http.get(f"{self.gateway.url}/admin/v1{path}", headers=headers)

    def read(self, path: str, **params: str) -> Any:
        """Return the reply of the admin API."""
        reply = self.admin("GET", path, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def issue(self, team: str = "search", **more: object) -> dict[str, Any]:
        """Issue a key."""
        reply = self.admin("POST", "/keys", {"team": team, **more})
        assert reply.status_code == 201, reply.text
        made: dict[str, Any] = reply.json()
        return made

    def status(self, secret: str) -> int:
        """Return the status that a key gets."""
        return self.get("/v1/models", secret).status_code

    def get(self, path: str, secret: str, **params: str) -> httpx2.Response:
        """Call the callers' API."""
        return self._http.get(self.gateway.url + path, params=params, headers={"authorization": f"Bearer {secret}"})

    def ask(self, secret: str, tags: str = "project=fox", **fields: object) -> httpx2.Response:
        """Request images without the cache, so that each reply is an entry."""
        reply = self._http.post(
            f"{self.gateway.url}/v1/images/generations",
            json={"prompt": "a fox", "model": "gpt-image-2", "size": "1024x1024", **fields},
            headers={"authorization": f"Bearer {secret}", "x-gateway-tags": tags},
        )
        self.generated += reply.status_code == 200
        return reply

    def draw(self, secret: str, tags: str = "project=fox", **fields: object) -> Decimal:
        """Generate images. Returns the cost in the reply."""
        reply = self.ask(secret, tags, **fields)
        assert reply.status_code == 200, reply.text
        return Decimal(reply.headers["x-gateway-cost-usd"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, config: Path, http: httpx2.Client) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("admin")
    shutil.copytree(config, folder / "config")
    (folder / "config" / "teams.yaml").write_text(TEAMS + LEAVERS)
    environment = {"IMAGE_GATEWAY_CONFIG": str(folder / "config"), "ADMIN_API_KEY": ADMIN}
    with GatewayProcess(folder / "data", environment) as gateway:
        yield Site(http, gateway, folder / "config")


def test_an_issued_key_works_within_seconds(site: Site) -> None:
    made = site.issue("ads", note="the crawler", expires_at="2999-01-01")

    assert (made["object"], made["team"], made["note"], made["state"]) == ("key", "ads", "the crawler", "active")
    assert made["expires_at"] == "2999-01-01T00:00:00Z"
    assert made["secret"].startswith("igw_")
    assert becomes_true(lambda: site.status(made["secret"]) == 200)


def test_a_revoked_key_stops_within_thirty_seconds(site: Site) -> None:
    made = site.issue()
    assert becomes_true(lambda: site.status(made["secret"]) == 200)

    gone = site.admin("DELETE", f"/keys/{made['id']}")

    assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
    assert becomes_true(lambda: site.status(made["secret"]) == 401)
    assert site.read(f"/keys/{made['id']}")["revoked_at"] is not None


def test_a_rotated_key_ends_after_the_overlap_period(site: Site) -> None:
    first = site.issue(note="rotated")
    assert becomes_true(lambda: site.status(first["secret"]) == 200)

    second = site.admin("POST", f"/keys/{first['id']}/rotate").json()
    third = site.admin("POST", f"/keys/{second['new']['id']}/rotate", {"overlap_seconds": 0}).json()

    assert becomes_true(lambda: site.status(third["new"]["secret"]) == 200)
    assert becomes_true(lambda: site.status(second["new"]["secret"]) == 401)
    assert site.status(first["secret"]) == 200
    assert (second["old"]["id"], second["old"]["state"]) == (first["id"], "active")
    assert (third["old"]["state"], third["new"]["note"]) == ("expired", "rotated")


def test_the_end_of_a_key_can_be_moved(site: Site) -> None:
    made = site.issue(expires_at="2999-01-01T00:00:00+01:00")

    moved = site.admin("PATCH", f"/keys/{made['id']}", {"expires_at": "2998-01-01"}).json()
    endless = site.admin("PATCH", f"/keys/{made['id']}", {"expires_at": None}).json()

    assert made["expires_at"] == "2998-12-31T23:00:00Z"
    assert (moved["expires_at"], endless["expires_at"]) == ("2998-01-01T00:00:00Z", None)


def test_an_issued_key_is_refused_by_its_own_limits(site: Site) -> None:
    """The key is refused by its own limit, and a changed limit takes effect within seconds."""
    made = site.issue("ads", limits={"requests_per_minute": 1}, limits_by_tier={"high": {"usd_per_day": 0.0001}})
    secret = made["secret"]
    assert becomes_true(lambda: site.status(secret) == 200)

    dear = site.ask(secret, quality="high", prompt="dear")
    site.draw(secret, quality="low")
    second = site.ask(secret, quality="low")
    others = site.ask("igw_ads", quality="high")
    site.admin("PATCH", f"/keys/{made['id']}", {"limits": None})

    assert (dear.status_code, second.status_code, others.status_code) == (429, 429, 200)
    assert dear.json()["error"]["limit_source"] == f"key:{made['id']}:tier:high usd_per_day"
    assert second.json()["error"]["limit_source"] == f"key:{made['id']} requests_per_minute"
    assert becomes_true(lambda: site.ask(secret, quality="low").status_code == 200)
    assert site.ask(secret, quality="high", prompt="dear again").status_code == 429
    own = {(limit["scope"], limit["measure"]) for limit in site.get("/v1/usage", secret).json()["limits"]}
    assert (f"key:{made['id']}:tier:high", "usd_per_day") in own


def test_a_limit_that_is_set_later_counts_earlier_costs(site: Site) -> None:
    made = site.issue("ads")
    assert becomes_true(lambda: site.status(made["secret"]) == 200)
    cost = site.draw(made["secret"], quality="low", prompt="before the limit")

    site.admin("PATCH", f"/keys/{made['id']}", {"limits_by_tier": {"low": {"usd_per_day": float(cost)}}})

    assert becomes_true(lambda: bool(site.get("/v1/usage", made["secret"]).json()["limits"]))
    assert site.ask(made["secret"], quality="low", prompt="after it").status_code == 429


def test_an_issued_key_may_use_a_part_of_its_teams_models(site: Site) -> None:
    made = site.issue("search", models=["gpt-image-2"], tiers=["low"])
    secret = made["secret"]
    assert becomes_true(lambda: site.status(secret) == 200)

    models = [model["id"] for model in site.get("/v1/models", secret).json()["data"]]
    others = [model["id"] for model in site.get("/v1/models", "igw_search").json()["data"]]
    refused = site.ask(secret, quality="medium")
    elsewhere = site.ask(secret, model=others[-1], quality="low")
    described = site.get(f"/v1/models/{others[-1]}", secret)

    assert models == ["gpt-image-2"]
    assert others[-1] != "gpt-image-2"
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "quality")
    assert (elsewhere.status_code, described.status_code) == (403, 403)
    assert site.ask(secret, quality="low").status_code == 200
    assert site.ask("igw_search", quality="medium").status_code == 200


def test_the_allowance_of_a_key_is_listed_and_survives_a_rotation(site: Site) -> None:
    allowance = {
        "models": ["gpt-image-2"],
        "tiers": ["high", "low"],
        "limits": {"concurrent_images": 2, "usd_per_day": 5.5},
        "limits_by_tier": {"high": {"usd_per_month": 0.000000001}},
    }
    made = site.issue("search", **allowance)
    new = site.admin("POST", f"/keys/{made['id']}/rotate").json()["new"]
    listed = {key["id"]: key for key in site.read("/keys", team="search")["data"]}
    of_team = {key["id"]: key for key in site.read("/teams/search")["keys"]}
    records = site.read("/audit", limit="3")["data"]

    for key in (made, new, listed[new["id"]], of_team[new["id"]], site.read(f"/keys/{made['id']}")):
        assert {name: key[name] for name in allowance} == allowance
    text = "concurrent_images=2 usd_per_day=5.5 high:usd_per_month=0.000000001 models=gpt-image-2 tiers=high,low"
    assert [text in record["detail"] for record in records] == [False, True, True]


def test_keys_are_listed_without_their_secrets(site: Site) -> None:
    made = site.issue("ads")

    listed = site.read("/keys")["data"]
    of_ads = site.read("/keys", team="ads")["data"]

    assert made["id"] in [key["id"] for key in listed]
    assert {key["team"] for key in of_ads} == {"ads"}
    assert all("secret" not in key and "digest" not in key for key in listed)
    assert [key["created_at"] for key in listed] == sorted(key["created_at"] for key in listed)


def test_every_change_leaves_a_record(site: Site) -> None:
    made = site.issue()
    site.admin("PATCH", f"/keys/{made['id']}", {"expires_at": "2999-01-01"})
    new = site.admin("POST", f"/keys/{made['id']}/rotate", {"overlap_seconds": 60}).json()["new"]
    gone = site.admin("DELETE", f"/keys/{made['id']}")

    records = site.read("/audit", limit="5")["data"]

    assert [(record["action"], record["subject"]) for record in records] == [
        ("key.revoke", made["id"]),
        ("key.expire", made["id"]),
        ("key.rotate", new["id"]),
        ("key.expire", made["id"]),
        ("key.issue", made["id"]),
    ]
    assert {record["actor"] for record in records} == {"admin"}
    assert records[0]["request_id"] == gone.headers["x-request-id"]


def test_usage_is_the_sum_of_the_costs_in_the_replies(site: Site) -> None:
    made = site.issue("painters")
    assert becomes_true(lambda: site.status(made["secret"]) == 200)

    costs = [
        site.draw(made["secret"], quality="low"),
        site.draw(made["secret"], quality="low", n=2),
        site.draw(made["secret"], quality="high", tags="project=owl,env=prod"),
        site.draw("igw_painters", quality="medium", tags=""),
    ]

    def usage(**params: str) -> Any:
        return site.get("/v1/usage", "igw_painters", since="2020-01-01", **params).json()

    assert becomes_true(lambda: usage()["total"]["entries"] == 4)
    whole = usage(group_by="tier,tag:project")
    assert (whole["object"], whole["team"], whole["group_by"]) == ("usage", "painters", ["tier", "tag:project"])
    assert whole["total"]["cost_usd"] == pytest.approx(float(sum(costs)), abs=1e-9)
    assert (whole["total"]["images"], whole["limits"]) == (5, [])
    assert {tuple(row["group"].values()): row["cost_usd"] for row in whole["data"]} == {
        ("high", "owl"): float(costs[2]),
        ("low", "fox"): float(costs[0] + costs[1]),
        ("medium", None): float(costs[3]),
    }
    by_key = {row["group"]["key"]: row["entries"] for row in usage(group_by="key")["data"]}
    assert by_key == {made["id"]: 3, "painters-1": 1}
    of_team = site.read("/usage", team="painters", since="2020-01-01", group_by="team")["data"]
    assert of_team[0]["cost_usd"] == whole["total"]["cost_usd"]
    assert site.read("/usage", group_by="month")["total"]["entries"] >= 4


def test_a_key_sees_the_rest_of_its_limits(site: Site) -> None:
    cost = site.draw("igw_search", quality="high")

    limits = {(row["scope"], row["measure"]): row for row in site.get("/v1/usage", "igw_search").json()["limits"]}

    assert set(limits) == {
        ("team", "images_per_minute"),
        ("team", "usd_per_day"),
        ("key:search-1", "requests_per_minute"),
        ("model:gpt-image-2", "usd_per_month"),
        ("tier:high", "concurrent_images"),
        ("tier:high", "usd_per_day"),
    }
    day = limits["tier:high", "usd_per_day"]
    assert (day["limit"], day["used"]) == (20, float(cost))
    assert day["remaining"] == pytest.approx(20 - float(cost))
    assert day["resets_at"].endswith("T00:00:00Z")
    assert limits["tier:high", "concurrent_images"]["used"] == 0


def test_teams_are_shown_with_their_limits_and_usage(site: Site) -> None:
    made = site.issue("search", note="shown")

    names = [team["name"] for team in site.read("/teams")["data"]]
    search = site.read("/teams/search")

    assert {"ads", "dev", "painters", "search"} <= {*names}
    assert names == sorted(names)
    assert search["limits"] == {"images_per_minute": 1000, "usd_per_day": 50}
    assert search["limits_by_tier"] == {"high": {"concurrent_images": 4, "usd_per_day": 20}}
    assert search["limits_by_model"] == {"gpt-image-2": {"usd_per_month": 500}}
    assert search["tiers"] == ["high", "low", "medium"]
    free: dict[str, Any] = {"models": [], "tiers": [], "limits_by_tier": {}}
    assert search["keys_in_file"] == [{"id": "search-1", "limits": {"requests_per_minute": 500}, **free}]
    assert made["id"] in [key["id"] for key in search["keys"]]
    assert ("key:search-1", "requests_per_minute") in [(row["scope"], row["measure"]) for row in search["standings"]]
    assert search["this_month"]["cost_usd"] >= 0


def exported(site: Site, kind: str, **params: str) -> bytes:
    reply = site.admin("GET", "/export", format=kind, **params)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-disposition"].startswith('attachment; filename="')
    return reply.content


def test_every_export_format_has_equal_values(site: Site, tmp_path: Path) -> None:
    site.draw("igw_search", quality="low", n=2)
    site.draw("igw_ads", quality="medium")
    span = {"since": "2020-01-01", "until": "2990-01-01"}
    assert becomes_true(lambda: site.read("/usage", **span)["total"]["entries"] == site.generated)
    total = site.read("/usage", **span)["total"]

    rows = list(csv.DictReader(io.StringIO(exported(site, "csv", **span).decode(), newline="")))
    table = parquet.read_table(io.BytesIO(exported(site, "parquet", **span))).to_pylist()
    focus = tmp_path / "focus.csv"
    focus.write_bytes(exported(site, "focus", **span))
    charges = list(csv.DictReader(io.StringIO(focus.read_text(), newline="")))

    assert len(rows) == len(table) == len(charges) == total["entries"]
    for costs in (
        [Decimal(row["cost_usd"]) for row in rows],
        [row["cost_usd"] for row in table],
        [Decimal(row["BilledCost"]) for row in charges],
    ):
        assert float(sum(costs)) == pytest.approx(total["cost_usd"], abs=1e-9)
    assert failed(focus) == []


def test_one_team_can_be_exported(site: Site) -> None:
    site.draw("igw_ads", quality="low")
    assert becomes_true(lambda: bool(site.read("/usage", team="ads")["total"]["entries"]))

    rows = list(csv.DictReader(io.StringIO(exported(site, "csv", team="ads").decode(), newline="")))

    assert {row["team"] for row in rows} == {"ads"}


def test_a_removed_team_keeps_its_entries(site: Site) -> None:
    secret = site.issue("leavers")["secret"]
    assert becomes_true(lambda: site.status(secret) == 200)
    site.draw("igw_leavers", quality="low")
    assert becomes_true(lambda: site.read("/usage", team="leavers")["total"]["entries"] == 1)

    (site.config / "teams.yaml").write_text(TEAMS)

    assert becomes_true(lambda: site.admin("GET", "/teams/leavers").status_code == 404)
    assert site.status(secret) == 401
    assert site.read("/usage", team="leavers")["total"]["entries"] == 1
    assert exported(site, "csv", team="leavers").count(b"\r\n") == 2
    assert len(site.read("/keys", team="leavers")["data"]) == 1
    assert site.admin("POST", "/keys", {"team": "leavers"}).json()["error"]["param"] == "team"


def test_a_repeated_parameter_is_refused_by_name(site: Site) -> None:
    reply = site.admin("GET", "/usage?since=2026-11-01&since=2026-11-02")

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "since")


BAD = [
    ("GET", "/usage", {"since": "yesterday"}, None, "since", "invalid_value"),
    ("GET", "/usage", {"since": ""}, None, "since", "invalid_value"),
    ("GET", "/usage", {"until": "2026-02-30"}, None, "until", "invalid_value"),
    ("GET", "/usage", {"since": "2026-11-02", "until": "2026-11-01"}, None, "since", "invalid_value"),
    ("GET", "/usage", {"since": "2999-01-01"}, None, "since", "invalid_value"),
    ("GET", "/usage", {"group_by": "colour"}, None, "group_by", "invalid_value"),
    ("GET", "/usage", {"group_by": ""}, None, "group_by", "invalid_value"),
    ("GET", "/usage", {"group_by": "team,team"}, None, "group_by", "invalid_value"),
    ("GET", "/usage", {"group_by": "tag:x' OR 1=1--"}, None, "group_by", "invalid_value"),
    ("GET", "/usage", {"by": "team"}, None, "by", "unknown_parameter"),
    ("GET", "/usage", {"team": "nobody"}, None, "team", "invalid_value"),
    ("GET", "/export", {}, None, "format", "missing_required_parameter"),
    ("GET", "/export", {"format": "xlsx"}, None, "format", "invalid_value"),
    ("GET", "/export", {"format": "csv", "since": "x"}, None, "since", "invalid_value"),
    ("GET", "/export", {"format": "csv", "team": "nobody"}, None, "team", "invalid_value"),
    ("GET", "/export", {"format": "csv", "group_by": "team"}, None, "group_by", "unknown_parameter"),
    ("GET", "/keys", {"team": "nobody"}, None, "team", "invalid_value"),
    ("GET", "/teams", {"team": "ads"}, None, "team", "unknown_parameter"),
    ("GET", "/backends", {"name": "openai"}, None, "name", "unknown_parameter"),
    ("GET", "/audit", {"limit": "0"}, None, "limit", "invalid_value"),
    ("GET", "/audit", {"limit": "1001"}, None, "limit", "invalid_value"),
    ("GET", "/audit", {"limit": "many"}, None, "limit", "invalid_value"),
    ("GET", "/audit", {"limit": "00000010000"}, None, "limit", "invalid_value"),
    ("POST", "/keys", {}, {}, "team", "missing_required_parameter"),
    ("POST", "/keys", {}, {"team": "nobody"}, "team", "invalid_value"),
    ("POST", "/keys", {}, {"team": 5}, "team", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "colour": "red"}, "colour", "unknown_parameter"),
    ("POST", "/keys", {}, {"team": "ads", "note": "a" * 201}, "note", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "note": "two\nlines"}, "note", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "expires_at": "2020-01-01"}, "expires_at", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "expires_at": "soon"}, "expires_at", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "models": ["drawer"]}, "models", "invalid_value"),
    ("POST", "/keys", {}, {"team": "search", "tiers": ["xhigh"]}, "tiers", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "limits": {"usd": 1}}, "limits.usd", "unknown_parameter"),
    ("POST", "/keys", {}, {"team": "ads", "limits": {"usd_per_day": -1}}, "limits.usd_per_day", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "limits": {"usd_per_day": 1e-10}}, "limits.usd_per_day", "invalid_value"),
    ("POST", "/keys", {}, {"team": "ads", "limits_by_tier": {"ultra": {}}}, "limits_by_tier", "invalid_value"),
    (
        "POST",
        "/keys",
        {},
        {"team": "ads", "limits_by_tier": {"low": {"usd_per_day": 1e-10}}},
        "limits_by_tier.low.usd_per_day",
        "invalid_value",
    ),
    ("PATCH", "/keys/{id}", {}, {"tiers": ["ultra"]}, "tiers", "invalid_value"),
    ("PATCH", "/keys/{id}", {}, {"limits": {"concurrent_images": 0}}, "limits.concurrent_images", "invalid_value"),
    ("POST", "/keys", {"team": "ads"}, {"team": "ads"}, "team", "unknown_parameter"),
    ("POST", "/keys", {}, "[]", None, "invalid_json"),
    ("POST", "/keys/{id}/rotate", {}, {"overlap_seconds": -1}, "overlap_seconds", "invalid_value"),
    ("POST", "/keys/{id}/rotate", {}, '{"overlap_seconds":1e309}', "overlap_seconds", "invalid_value"),
    ("POST", "/keys", {}, "{", None, "invalid_json"),
    ("POST", "/keys/{id}/rotate", {}, {"overlap": 1}, "overlap", "unknown_parameter"),
    ("PATCH", "/keys/{id}", {}, {}, None, "missing_required_parameter"),
    ("PATCH", "/keys/{id}", {}, {"expires_at": "2020-01-01"}, "expires_at", "invalid_value"),
]


@pytest.fixture(scope="module")
def some_key(site: Site) -> str:
    return str(site.issue("ads")["id"])


@pytest.mark.parametrize(("method", "path", "params", "body", "param", "code"), BAD, ids=range(len(BAD)))
def test_bad_input_is_refused_by_name(
    site: Site, some_key: str, method: str, path: str, params: dict[str, str], body: object, param: str, code: str
) -> None:
    reply = site.admin(method, path.format(id=some_key), body, **params)

    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code), error
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("change", [("PATCH", ""), ("POST", "/rotate")])
def test_a_key_that_has_ended_stays_ended(site: Site, change: tuple[str, str]) -> None:
    made = site.issue("ads")
    site.admin("DELETE", f"/keys/{made['id']}")

    method, path = change
    body = {"expires_at": None} if method == "PATCH" else {}
    reply = site.admin(method, f"/keys/{made['id']}{path}", body)

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "key_id")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/keys/key_0", 404, "key_not_found"),
        ("DELETE", "/keys/key_0", 404, "key_not_found"),
        ("DELETE", "/keys/search-1", 404, "key_not_found"),
        ("GET", "/teams/nobody", 404, "team_not_found"),
        ("GET", "/nothing", 404, "unknown_path"),
        ("PUT", "/keys", 405, "method_not_allowed"),
        ("POST", "/usage", 405, "method_not_allowed"),
    ],
)
def test_an_unknown_path_team_or_key_is_refused(site: Site, method: str, path: str, status: int, code: str) -> None:
    reply = site.admin(method, path)

    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


PATHS = [
    "/keys",
    "/keys/key_0",
    "/teams",
    "/teams/ads",
    "/usage",
    "/export?format=csv",
    "/audit",
    "/cache",
    "/backends",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header", [None, "Bearer igw_ads", "Bearer", f"Bearer {ADMIN[:-1]}", f"Basic {ADMIN}", ADMIN], ids=range(6)
)
def test_only_the_admin_key_opens_the_admin_paths(site: Site, path: str, header: str | None) -> None:
    reply = site.knock(path, header)

    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_the_sandbox_is_absent_from_the_list_of_backends(site: Site) -> None:
    assert site.read("/backends") == {"object": "list", "data": []}


def test_the_admin_key_is_refused_outside_the_admin_api(site: Site) -> None:
    assert site.get("/v1/usage", ADMIN).status_code == 401
    assert site.get("/v1/models", ADMIN).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_no_admin_key_means_no_admin_api(http: httpx2.Client, sandbox_gateway: GatewayProcess, path: str) -> None:
    reply = http.get(f"{sandbox_gateway.url}/admin/v1{path}", headers={"authorization": f"Bearer {ADMIN}"})

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_path")


def test_no_secret_reaches_the_log(site: Site) -> None:
    made = site.issue("ads", note="logged")
    site.admin("GET", "/keys")

    site.gateway.await_logged("request", path="/admin/v1/keys", actor="admin", status=201)
    log = "".join(site.gateway.lines)
    assert ADMIN not in log
    assert made["secret"] not in log
