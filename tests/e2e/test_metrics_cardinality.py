"""Whatever callers make up, no series is added: 500 requests, 50 of each kind, with words of their own.

More of them prove no more: after the first of each kind not one series may come.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.adapters.metrics.expose import Exposition, process_registry
from service.adapters.metrics.observer import MetricsObserver
from service.app import assemble
from service.commands.startup import dev_settings, today
from service.composition.api import dev_key
from service.composition.app_config import AppConfig, StoreAddresses
from service.settings.gateway import read_gateway
from service.settings.reloadable_files import ReloadableFiles
from tools.bench.scrape import crowd

SECRET = "igw_dev"
KEY = {"authorization": f"Bearer {SECRET}"}
MADE_UP = 500
NOWHERE = "redis://127.0.0.1:9"

Ask = Callable[[int], tuple[str, str, dict[str, str], dict[str, Any]]]
"""Method, path, headers and body of the request with that number."""


def drawing(**fields: Any) -> tuple[str, str, dict[str, str], dict[str, Any]]:
    return "POST", "/v1/images/generations", KEY, {"prompt": "a fox", "model": "gpt-image-2"} | fields


KINDS: tuple[Ask, ...] = (
    lambda n: drawing(model=f"model-{n}"),
    lambda n: drawing(quality=f"tier-{n}"),
    lambda n: drawing(size=f"{16 * n + 16}x16"),
    lambda n: drawing(**{f"field-{n}": n}),
    lambda n: ("GET", f"/v1/models/model-{n}", KEY, {}),
    lambda n: ("GET", f"/path-{n}", {}, {}),
    lambda n: ("PATCH", f"/v1/images/picture-{n}", {}, {}),
    lambda n: ("GET", "/v1/models", {"authorization": f"Bearer igw_{n}"}, {}),
    lambda n: ("POST", "/v1/images/generations", KEY | {"x-gateway-tags": f"tag-{n}={n}"}, {"prompt": "a fox"}),
    lambda n: (f"VERB{n}", "/v1/images/edits", KEY, {}),
)


@pytest.fixture(scope="module")
def metrics() -> MetricsObserver:
    return MetricsObserver(version="1", python="3")


@pytest.fixture(scope="module")
def asgi(metrics: MetricsObserver, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The application, its edge and the way to its metrics; nothing behind it is there, and nothing gets that far."""
    settings = dev_settings(read_gateway(config / "gateway.yaml", {}))
    files = ReloadableFiles(folder=config, today=today, backends=settings.all_backends, dev_key=dev_key(SECRET))
    ledger = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}"
    stores = StoreAddresses(redis_url=NOWHERE, cache_url=NOWHERE, database_url=ledger, data=None)
    renderer = Exposition(metrics, process_registry())
    plans = AppConfig(
        settings=settings,
        files=files,
        initial_files=files.read_first(),
        stores=stores,
        observer=metrics,
        metrics_renderer=renderer,
    )
    return assemble(plans).asgi


def series(text: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("gateway_")}


def numbered(count: int) -> Iterator[tuple[str, str, dict[str, str], dict[str, Any]]]:
    kinds = itertools.cycle(KINDS)
    yield from (next(kinds)(number) for number in range(count))


async def test_nothing_that_callers_make_up_becomes_a_series(asgi: Any) -> None:
    transport = httpx2.ASGITransport(app=asgi)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:

        async def ask(number: int, method: str, path: str, headers: dict[str, str], body: dict[str, Any]) -> int:
            made_up = {
                "user-agent": f"agent-{number}",
                "x-request-id": f"id-{number}",
                "idempotency-key": f"key-{number}",
            }
            return (await client.request(method, path, headers=headers | made_up, json=body or None)).status_code

        async def told() -> set[str]:
            return series((await client.get("/metrics")).text)

        statuses = {await ask(number, *each) for number, each in enumerate(numbered(len(KINDS)))}
        before = await told()
        for number, each in enumerate(numbered(MADE_UP)):
            statuses.add(await ask(number, *each))
        assert statuses == {400, 401, 404, 405}
        assert await told() == before
        assert not [line for line in before if any(word in line for word in ("-1", "igw_", "agent", "path"))]


def test_a_crowd_of_teams_has_so_many_series_and_no_more() -> None:
    """What `python -m tools.bench.scrape` measures; the bound is what is told in a tenth of a scrape's timeout."""
    seen = MetricsObserver(version="1", python="3")
    for event in crowd(200):
        seen.record(event)
    body, _ = Exposition(seen, process_registry()).render("")
    told = series(body.decode())
    assert len(told) < 20_000
    again = Exposition(seen, process_registry()).render("")[0]
    assert series(again.decode()) == told
