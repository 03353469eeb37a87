"""Replay of `service/api/openapi/examples.json` to a gateway: every request as it stands there, in order.

Rule: an answer is made steady and returned as an exchange; a test compares it with the file. The gateway has its
sandbox alone, whose prompts may ask for a failure. Some teams have used up a limit.
"""

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from msgspec.structs import replace

from service.api.openapi.examples import ExampleReply, ExampleRequest, Exchange, load_exchanges
from service.domain.team_access import key_digest
from tests.support.gateway import TIMEOUT_SECONDS, GatewayProcess, with_lenient_health
from tests.support.images import png
from tools.openapi.steady import NOTHING_YET, Steady

ROOT = Path(__file__).parents[2]
HOST = "https://images.example.com"
ADMIN = secrets.token_hex(32)
KEYS = {name: f"igw_{name}" for name in ("team", "spent", "slow", "narrow", "wrong")} | {"admin": ADMIN}
TEAMS = f"""
teams:
  search:
    limits: {{usd_per_day: 50, usd_per_month: 800, concurrent_images: 40}}
    limits_by_tier: {{high: {{usd_per_day: 20}}}}
    keys: [{{id: search-1, sha256: {key_digest(KEYS["team"])}}}]
  ads:
    limits: {{usd_per_day: 0.001}}
    keys: [{{id: ads-1, sha256: {key_digest(KEYS["spent"])}}}]
  trial:
    limits: {{requests_per_minute: 1, images_per_minute: 10}}
    keys: [{{id: trial-1, sha256: {key_digest(KEYS["slow"])}}}]
  press:
    models: [gpt-image-2]
    keys: [{{id: press-1, sha256: {key_digest(KEYS["narrow"])}}}]
"""
# A backend that is enabled and has no model.
SPARE = "  spare: {dialect: openai, base_url: http://127.0.0.1:9/v1, api_key_env: SPARE_API_KEY}\n"
SETTINGS = {
    "backends:\n": f"backends:\n{SPARE}",
    "  enabled: false\n": "  enabled: true\n",
    "prompt_directives: false": "prompt_directives: true",
    "in_progress: wait": "in_progress: conflict",
    "max_image_bytes: 50000000": "max_image_bytes: 100000",
    "# public_url: https://images.example.com": f"public_url: {HOST}",
    "keepalive_seconds: 15": "keepalive_seconds: 0.2",
    "grace_seconds: 5": "grace_seconds: 0",
}
FILES = {
    "otter.png": png((64, 64), (120, 80, 40)),
    "hat.png": png((64, 64), (200, 30, 30)),
    "poster.png": png((64, 64)) + bytes(100_000),
    "notes.txt": b"not a picture",
}
"""Contents of each `@name` in a form."""

MAX_DAYS = 3

FOLLOWING = frozenset({"getUsage", "getUsageOfTeams", "retrieveTeam", "exportUsage", "getCache"})
"""Operations that read the ledger, which is written behind the requests."""


@contextmanager
def replay_gateway(folder: Path) -> Iterator[GatewayProcess]:
    """Run the gateway of the replay."""
    config = folder / "config"
    shutil.copytree(ROOT / "config", config, ignore=shutil.ignore_patterns("grafana", "prometheus"))
    settings = with_lenient_health((config / "gateway.yaml").read_text())
    for was, becomes in SETTINGS.items():
        assert was in settings, was
        settings = settings.replace(was, becomes)
    (config / "gateway.yaml").write_text(settings)
    (config / "teams.yaml").write_text(TEAMS)
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(config),
        "ADMIN_API_KEY": ADMIN,
        "URL_SIGNING_KEY": secrets.token_hex(32),
        "SPARE_API_KEY": "sk-operator",
    }
    with GatewayProcess(folder / "data", environment, options=()) as gateway:
        yield gateway


def replies_within_a_day(
    folder: Path, http: httpx2.Client, document: Mapping[str, Any], patience: float = TIMEOUT_SECONDS
) -> tuple[Sequence[Exchange], "Teller"]:
    """Replay all exchanges to a new gateway.

    If a day ends meanwhile, the windows of its limits end too: it starts again.
    """
    for attempt in range(MAX_DAYS):
        begun = datetime.now(UTC).date()
        with replay_gateway(folder / str(attempt)) as gateway:
            teller = Teller(http, gateway.url, document, patience)
            replies = [*teller.tell(load_exchanges())]
        if datetime.now(UTC).date() == begun:
            return replies, teller
    raise TimeoutError(f"{MAX_DAYS} days ended during the replay")


def places(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return method and path of each operation."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


class Teller:
    """Client that sends requests as they stand in examples. `patience`: seconds that the ledger may take."""

    def __init__(
        self, http: httpx2.Client, url: str, document: Mapping[str, Any], patience: float = TIMEOUT_SECONDS
    ) -> None:
        self._http = http
        self._patience = patience
        self._url = url
        self._places = places(document)
        self._steady = Steady()
        self.answered: list[tuple[str, int, frozenset[str]]] = []

    def tell(self, exchanges: Sequence[Exchange]) -> Iterator[Exchange]:
        """Yield the exchanges with real replies. A stream that is held open comes after the exchange behind it."""
        held: tuple[Exchange, httpx2.Response, Iterator[str], str] | None = None
        for exchange in exchanges:
            request = self._request(exchange)
            if exchange.held:
                reply = self._http.send(request, stream=True)
                pieces = reply.iter_text()
                held = exchange, reply, pieces, next(pieces)  # its stream stays open
                continue
            yield replace(exchange, reply=self._answered(request, exchange))
            if held:
                begun, reply, pieces, first = held
                assert first == NOTHING_YET, first
                got = self._got(reply, begun, "".join(pieces))
                yield replace(begun, reply=replace(got, body=first + got.body))
                held = None

    def _answered(self, request: httpx2.Request, exchange: Exchange) -> ExampleReply:
        """Send a request and return the reply.

        An operation that reads the ledger is repeated until it answers as the example.
        """
        end = time.monotonic() + self._patience
        while True:
            reply = self._http.send(request)
            got = self._got(reply, exchange, reply.text)
            if exchange.operation not in FOLLOWING or got == exchange.reply or time.monotonic() > end:
                return got
            time.sleep(0.1)

    def _request(self, exchange: Exchange) -> httpx2.Request:
        sent = exchange.request
        method, path = self._places[exchange.operation]
        for name, value in sent.path.items():
            path = path.replace(f"{{{name}}}", self._meant(name, value))
        key = {"authorization": f"Bearer {KEYS[sent.caller]}"} if sent.caller != "without_key" else {}
        query = {name: self._meant(name, str(value)) for name, value in sent.query.items()}
        kind = {"content-type": sent.media_type} if sent.media_type and isinstance(sent.body, str) else {}
        headers = {**sent.headers, **key, **kind}
        return self._http.build_request(method, self._url + path, params=query, headers=headers, **self._body(sent))

    def _meant(self, name: str, value: str) -> str:
        return self._steady.meant(f"{name}={value}").removeprefix(f"{name}=")

    def _body(self, sent: ExampleRequest) -> dict[str, Any]:
        if sent.media_type is None:
            return {}
        if isinstance(sent.body, str):
            return {"content": sent.body.encode()}
        if sent.media_type == "application/json":
            return {"json": json.loads(self._steady.meant(json.dumps(sent.body)))}
        return {"data": dict(_words(sent.body)), "files": list(_files(sent.body))}

    def _got(self, reply: httpx2.Response, exchange: Exchange, text: str) -> ExampleReply:
        kind = _media_type(reply)
        names = (name for name in exchange.reply.headers if name in reply.headers)
        shown = {name: self._steady.header(name, reply.headers[name]) for name in names}
        self.answered.append((exchange.operation, reply.status_code, frozenset(reply.headers)))
        body: Any = None
        if kind == "application/json":
            body = json.loads(self._steady.text(text))
        elif kind and kind.startswith("text/"):
            body = self._steady.text(text)
        return ExampleReply(status=reply.status_code, media_type=kind, headers=shown, body=body)


def _media_type(reply: httpx2.Response) -> str | None:
    return reply.headers.get("content-type", "").partition(";")[0] or None


def _words(form: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in form.items():
        if not _named(value):
            yield name, json.dumps(value) if not isinstance(value, str) else value


def _files(form: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, bytes, str]]]:
    for name, value in form.items():
        for file in _named(value):
            yield name, (file, FILES[file], "application/octet-stream")


def _named(value: object) -> list[str]:
    """Return the files that a field of a form names."""
    listed = value if isinstance(value, list) else [value]
    return [file.removeprefix("@") for file in listed if isinstance(file, str) and file.startswith("@")]
