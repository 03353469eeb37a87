"""Two replicas and the commands behind a real PgBouncer in transaction mode, as shipped."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx2

from tests.e2e.replicas import EVER, Start, ask
from tests.e2e.test_process import command
from tests.support.gateway import GatewayProcess, becomes_true

pytest_plugins = ["tests.support.databases"]

FOUND = "database behind a pooler"
SEARCH = {"authorization": "Bearer igw_search"}


def entries(http: httpx2.Client, gateway: GatewayProcess) -> int:
    usage = http.get(f"{gateway.url}/v1/usage?{EVER}", headers=SEARCH).json()
    return int(usage["total"]["entries"])


async def ask_for_usage(urls: list[str], times: int) -> set[int]:
    async with httpx2.AsyncClient(timeout=60, trust_env=False, headers=SEARCH) as client:
        replies = await asyncio.gather(*(client.get(urls[i % len(urls)] + "/v1/usage") for i in range(times)))
    return {reply.status_code for reply in replies}


def test_replicas_and_commands_share_a_ledger_behind_a_pooler(
    start: Start, new_database: Callable[[str], str], http: httpx2.Client, tmp_path: Path
) -> None:
    url = new_database("pgbouncer")
    with start(DATABASE_URL=url) as one, start(DATABASE_URL=url) as two:
        replies = [ask(http, gateway, f"a fox {tmp_path} {number}") for number in range(4) for gateway in (one, two)]
        assert {reply.status_code for reply in replies} == {200}
        assert becomes_true(lambda: entries(http, one) == len(replies))
        assert asyncio.run(ask_for_usage([one.url, two.url], 60)) == {200}
        assert [sum(line["event"] == FOUND for line in gateway.logged()) for gateway in (one, two)] == [1, 1]

    where = {"DATABASE_URL": url, "IMAGE_GATEWAY_CONFIG": str(tmp_path / "config")}
    done = [
        command(*line.split(), cwd=tmp_path, environment=where)
        for line in ("migrate", "keys issue search --note n", "keys list", "usage --by team")
    ]
    assert [(run.returncode, run.stderr) for run in done] == [(0, "")] * 4, done
    assert "search" in done[3].stdout

    with start(DATABASE_URL=url) as again:
        assert entries(http, again) == len(replies)
        assert again.await_logged(FOUND)["level"] == "info"
