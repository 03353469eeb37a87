"""The real ledger where a fake cannot follow: servers that hang, refuse, restart or fill up; keys; the calendar."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import redis

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import TIMEOUT_SECONDS, Client, RedisServer, connect, disconnect
from service.adapters.redis.lua_scripts import SCRIPTS
from service.adapters.redis.quota_store import RedisQuotaStore
from service.domain.errors import StateUnavailable
from service.domain.ledger import HoldState
from service.domain.limit_errors import SECOND
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.ports.ledger import Spent
from service.usecases.ports.quota_store import CountersLost, CounterSnapshot, PostResult, QuotaStore
from tests.support.cluster import CLUSTER, valkey_cluster
from tests.support.quota_stores import CENT, LONG_TIMEOUT_SECONDS, FakeStore, QuotaHarness, open_quota_harness

SENT = HoldState.SENT
DAILY = Limit(TEAM, Measure.DAY, 50 * CENT)
NOTHING = Spent(at=0, day={}, month={})

plain = QuotaHarness(FakeStore(), "search", RedisQuotaStore("unix:///nowhere"))  # only to make claims with


@asynccontextmanager
async def ledger_at(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> AsyncIterator[RedisQuotaStore]:
    ledger = RedisQuotaStore(url, timeout_seconds=timeout_seconds)
    try:
        yield ledger
    finally:
        await ledger.close()


@asynccontextmanager
async def client_at(url: str) -> AsyncIterator[Client]:
    client = connect(url)
    try:
        yield client
    finally:
        await disconnect(client)


def every_verb(ledger: QuotaStore, team: str = "search") -> list[Callable[[], Awaitable[object]]]:
    claim = replace(plain, team=team).hold_request()
    return [
        lambda: ledger.hold(team, [claim], [DAILY], state=SENT),
        lambda: ledger.mark_sent(team, [claim.hold_id]),
        lambda: ledger.post(claim.entry),
        lambda: ledger.void(team, claim.hold_id),
        lambda: ledger.extend(team, [claim]),
        lambda: ledger.sweep(team),
        lambda: ledger.limit_status(team, [DAILY]),
        lambda: ledger.read_outbox(team, 1),
        lambda: ledger.acknowledge(team, ["1-1"]),
        lambda: ledger.snapshot(team),
        lambda: ledger.rebuild(team, CounterSnapshot(epoch="0", version="0", at=0, open_holds=()), NOTHING, ()),
        lambda: ledger.register_teams([team]),
        lambda: ledger.acquire_leadership("me", 1),
    ]


async def refused(call: Callable[[], Awaitable[object]]) -> None:
    """The error says that the state does not answer. `python -m tools.chaos` measures how soon."""
    with pytest.raises(StateUnavailable, match="does not answer"):
        await call()


def server_in(folder: Path) -> psutil.Process:
    (server,) = (child for child in psutil.Process().children() if Path(child.cwd()) == folder)
    return server


@contextmanager
def suspended(server: psutil.Process) -> Iterator[None]:
    server.suspend()
    try:
        yield
    finally:
        server.resume()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:9", "unix:///nowhere/valkey.sock", "redis+cluster://127.0.0.1:9"])
async def test_a_server_that_refuses_is_unavailable_soon(url: str) -> None:
    async with ledger_at(url) as ledger:
        for call in every_verb(ledger):
            await refused(call)


@pytest.mark.parametrize("warm", [True, False])
async def test_a_server_that_hangs_is_unavailable_soon_and_well_when_it_goes_on(tmp_path: Path, warm: bool) -> None:
    with run_valkey(tmp_path) as url:
        async with ledger_at(url) as ledger:
            if warm:
                await asyncio.gather(*(ledger.snapshot("search") for _ in range(20)))
            with suspended(server_in(tmp_path)):
                for call in every_verb(ledger):
                    await refused(call)
                await asyncio.gather(*(refused(lambda: ledger.snapshot("search")) for _ in range(100)))
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as patient:
            assert await QuotaHarness(FakeStore(), "search", patient).rebuild()
            await patient.hold("search", [plain.hold_request()], [DAILY], state=SENT)


async def test_an_answer_never_reaches_somebody_else(tmp_path: Path) -> None:
    """Calls are given up at any moment; those that come after on the same connections are answered for themselves."""
    teams = [f"team-{number}" for number in range(30)]
    with run_valkey(tmp_path) as url:
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as patient:
            for team in teams:
                await patient.extend(team, [plain.hold_request(hold_id=team)])
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as ledger:
            for attempt in range(40):
                calls = [asyncio.create_task(ledger.snapshot(team)) for team in teams]
                for _ in range(attempt):
                    await asyncio.sleep(0)
                for call in calls[:: 1 + attempt % 3]:
                    call.cancel()
                answers = await asyncio.gather(*calls, return_exceptions=True)
                for team, answer in zip(teams, answers, strict=True):
                    assert isinstance(answer, asyncio.CancelledError) or answer.open_holds == (team,)  # type: ignore[union-attr] # (else it fails)


async def test_counters_of_a_server_that_was_restarted_are_rebuilt_before_anybody_is_admitted(tmp_path: Path) -> None:
    booked, open_hold = plain.hold_request(), plain.hold_request()
    with run_valkey(tmp_path) as url:
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as ledger:
            assert await replace(plain, ledger=ledger).rebuild({TEAM: CENT})
            await ledger.hold("search", [booked, open_hold], [DAILY], state=SENT)
            stale = await ledger.snapshot("search")
            posted = await ledger.post(replace(booked.entry, cost=7 * CENT))
    with run_valkey(tmp_path) as url:
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as ledger:
            stage = replace(plain, ledger=ledger)
            with pytest.raises(CountersLost):
                await ledger.hold("search", [plain.hold_request()], [DAILY], state=SENT)
            with pytest.raises(CountersLost):
                await ledger.limit_status("search", [DAILY])
            assert [entry.outbox_id for entry in await ledger.read_outbox("search", 9)] == [posted.outbox_id]
            assert not await ledger.rebuild("search", stale, replace(NOTHING, at=stale.at), ())
            assert await stage.rebuild({TEAM: 8 * CENT})
            assert await stage.used() == 28 * CENT
            assert await ledger.post(booked.entry) == PostResult(state=HoldState.POSTED)
            assert (await ledger.post(open_hold.entry)).outbox_id


@pytest.fixture(params=["server", CLUSTER])
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    server = run_valkey if request.param == "server" else valkey_cluster
    with server(tmp_path) as url:
        yield url


async def set_on_all(url: str, name: str, value: str) -> None:
    async with client_at(url) as client:
        more = {"target_nodes": "all"} if isinstance(client, redis.asyncio.RedisCluster) else {}
        await client.execute_command("CONFIG SET", name, value, **more)


async def test_a_full_server_holds_nothing_new_and_ends_what_was_begun(own_url: str) -> None:
    async with ledger_at(own_url, LONG_TIMEOUT_SECONDS) as ledger:
        stage = replace(plain, ledger=ledger)
        assert await stage.rebuild()
        pending, posted, voided, extended = (stage.hold_request() for _ in range(4))
        await ledger.hold("search", [pending], [DAILY], state=HoldState.PENDING)
        await ledger.hold("search", [voided], [], state=SENT)
        brief = RedisQuotaStore(own_url, lease_seconds=0, timeout_seconds=LONG_TIMEOUT_SECONDS)
        await brief.hold("search", [posted, extended], [], state=SENT)
        await set_on_all(own_url, "maxmemory", "1")
        with pytest.raises(StateUnavailable, match="is full; nothing new can be held"):
            await ledger.hold("search", [stage.hold_request()], [], state=SENT)
        await ledger.mark_sent("search", [pending.hold_id])
        assert (await ledger.post(pending.entry)).outbox_id
        assert (await ledger.post(posted.entry)).outbox_id
        assert await ledger.void("search", voided.hold_id) is HoldState.VOIDED
        await ledger.extend("search", [extended])
        assert await ledger.sweep("search") == ()
        await brief.extend("search", [extended])
        assert await ledger.sweep("search") == (HoldState.EXPIRED,)
        assert await stage.used() == 60 * CENT
        assert await stage.used(Measure.CONCURRENT) == 0
        assert await ledger.register_teams(["search"]) == {"search"}
        assert await ledger.acquire_leadership("one", 60)
        assert await stage.rebuild({TEAM: 60 * CENT})
        waiting = await ledger.read_outbox("search", 10)
        assert await ledger.acknowledge("search", [entry.outbox_id for entry in waiting]) == 3
        await set_on_all(own_url, "maxmemory", "0")
        await ledger.hold("search", [stage.hold_request()], [], state=SENT)
        await brief.close()


async def test_a_server_that_will_not_write_or_is_busy_is_unavailable(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as admin:
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as ledger:
            stage = replace(plain, ledger=ledger)
            assert await stage.rebuild()
            admin.execute_command("REPLICAOF", "127.0.0.1", "9")
            await refused(lambda: ledger.hold("search", [plain.hold_request()], [DAILY], state=SENT))
            admin.execute_command("REPLICAOF", "NO", "ONE")
            admin.config_set("busy-reply-threshold", "1")
            running = asyncio.create_task(asyncio.to_thread(forever, url))
            while not await is_down(ledger, "search"):
                assert not running.done()
            admin.execute_command("SCRIPT", "KILL")
            await running
            assert (await ledger.hold("search", [plain.hold_request()], [DAILY], state=SENT)).limit_status[
                0
            ].used == 20 * CENT


def forever(url: str) -> None:
    with redis.Redis.from_url(url, retry=None) as client, pytest.raises(redis.RedisError, match="killed"):
        client.eval("while true do end", 0)


async def test_a_server_that_forgot_the_scripts_is_told_them_again(redis_url: str) -> None:
    async with open_quota_harness("server", redis_url) as stage, client_at(redis_url) as admin:
        for _ in range(2):
            await admin.execute_command("SCRIPT", "FLUSH")
            assert await stage.rebuild()


async def test_a_hold_and_its_post_are_two_round_trips(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True) as admin:
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as ledger:
            assert await replace(plain, ledger=ledger).rebuild()
            for attempt in range(2):
                claim = plain.hold_request(quote=CENT)
                await ledger.hold("search", [claim], [DAILY], state=SENT)
                await ledger.post(claim.entry)
                if not attempt:
                    admin.config_resetstat()
            calls = {name: told["calls"] for name, told in admin.info("commandstats").items() if "eval" in name}
    assert calls == {"cmdstat_evalsha": 2}


async def test_nothing_that_counts_money_can_be_evicted(redis_url: str) -> None:
    """A server that evicts keys with a TTL leaves these alone; what has ended goes by itself."""
    async with open_quota_harness("server", redis_url) as stage, client_at(redis_url) as client:
        assert await stage.rebuild()
        over, held = stage.hold_request(), stage.hold_request()
        for claim in (over, held):
            await stage.ledger.hold(stage.team, [claim], [DAILY], state=SENT)
        await stage.ledger.post(over.entry)
        start = f"igw:{{{stage.team}}}:"
        ttls = {key.decode().removeprefix(start): await client.pttl(key) async for key in client.scan_iter(f"{start}*")}
    assert 3_590_000 < ttls.pop(f"hold:{over.hold_id}") <= 3_600_000
    assert ttls == dict.fromkeys(["state", "holds", "outbox", f"hold:{held.hold_id}"], -1)


FIRST_FORM = {  # as the first version wrote a hold of 20 cents
    "state": "sent",
    "quote": "200000000",
    "images": "2",
    "scopes": "team\nkey:k1\nmodel:painter\ntier:low\ntier:high",
    "cost": "200000000",
    "booked": "team\nkey:k1\nmodel:painter\ntier:high",
    "entry": (
        '{"hold_id":"h1","request_id":"req_1","team":"search","key":"k1","operation":"generate","model":"painter",'
        '"backend":"alpha","upstream_model":"alpha/painter","price_version":"cent@2026-01-01","output_format":"png",'
        '"n":2,"cost":200000000,"basis":"unconfirmed","status":"lost","tier":null,"resolved_tier":"high","size":null,'
        '"text_in":0,"image_in":0,"text_cached":0,"image_cached":0,"text_out":0,"image_out":0,"saved":0,'
        '"cache":"bypass","tags":{},"held_at":0,"posted_at":0}'
    ),
}
HELD_SCOPES = FIRST_FORM["scopes"].split()


async def held_by_the_first_version(stage: QuotaHarness, client: Client, lease_end: int) -> None:
    """One hold and its counters, as scripts of the first version leave them."""
    now = (await stage.ledger.snapshot(stage.team)).at
    start = f"igw:{{{stage.team}}}:"
    await client.execute_command(
        "HSET", f"{start}hold:h1", "held_at", now, *(word for pair in FIRST_FORM.items() for word in pair)
    )
    await client.execute_command("ZADD", f"{start}holds", lease_end, "h1")
    today = datetime.fromtimestamp(now / SECOND, UTC)
    for scope in HELD_SCOPES:
        for field, amount in (
            (f"day:{now // (86_400 * SECOND)}:{scope}", 20 * CENT),
            (f"month:{today:%Y%m}:{scope}", 20 * CENT),
            (f"open:{scope}", 2),
        ):
            await client.execute_command("HINCRBY", f"{start}state", field, amount)


@pytest.mark.parametrize("end", ["post", "void", "sweep"])
@pytest.mark.parametrize("rebuilt", [False, True])
async def test_a_hold_of_the_first_version_comes_to_its_end(redis_url: str, end: str, rebuilt: bool) -> None:
    async with open_quota_harness("server", redis_url) as stage, client_at(redis_url) as client:
        assert await stage.rebuild()
        await held_by_the_first_version(stage, client, lease_end=0)
        if rebuilt:
            await stage.store.restart(stage.team)
            assert await stage.rebuild()
        held = [await stage.used(scope=scope) for scope in HELD_SCOPES]
        assert held == [20 * CENT] * 5
        assert await stage.used(Measure.CONCURRENT, "tier:low") == 2
        match end:
            case "post":
                entry = stage.hold_request(hold_id="h1").entry
                await stage.ledger.post(replace(entry, cost=CENT, resolved_tier="low"))
                left = [CENT, CENT, CENT, CENT, 0]
            case "void":
                await stage.ledger.void(stage.team, "h1")
                left = [0] * 5
            case _:
                assert await stage.ledger.sweep(stage.team) == (HoldState.EXPIRED,)
                (expired,) = await stage.entries()
                assert (expired.cost, expired.n, expired.resolved_tier) == (20 * CENT, 2, "high")
                left = [20 * CENT, 20 * CENT, 20 * CENT, 0, 20 * CENT]
        assert [await stage.used(scope=scope) for scope in HELD_SCOPES] == left
        assert [await stage.used(Measure.CONCURRENT, scope) for scope in HELD_SCOPES] == [0] * 5


async def test_a_hold_of_one_quote_is_kept_as_the_first_version_kept_it(redis_url: str) -> None:
    """So that one of its replicas can end it."""
    async with open_quota_harness("server", redis_url) as stage, client_at(redis_url) as client:
        assert await stage.rebuild()
        plainly, by_tier = stage.hold_request(), stage.hold_request(quotes={"tier:high": CENT})
        await stage.ledger.hold(stage.team, [plainly, by_tier], [], state=SENT)
        start = f"igw:{{{stage.team}}}:hold:"
        first_form = {name.encode() for name in (*FIRST_FORM, "held_at")}
        assert {*await client.hkeys(start + plainly.hold_id)} == first_form
        assert {*await client.hkeys(start + by_tier.hold_id)} == {*first_form, b"quotes"}
        ttls = await client.execute_command("HGET", start + by_tier.hold_id, "quotes")
        assert ttls.split() == [b"200000000"] * 3 + [b"10000000"]


async def test_old_windows_are_dropped_once_a_day(redis_url: str) -> None:
    async with open_quota_harness("server", redis_url) as stage, client_at(redis_url) as client:
        assert await stage.rebuild()
        key, rate = f"igw:{{{stage.team}}}:state", Limit(TEAM, Measure.IMAGES, 9)
        await stage.ledger.hold(stage.team, [stage.hold_request()], [rate], state=SENT)
        before = {*await client.hkeys(key)}
        today = int(await client.hget(key, "today") or 0)
        recent = f"day:{today - 2}:team"
        for field in (f"day:{today - 3}:team", "month:200001:team", "rate:images_per_minute:key:x", "open:key:x"):
            await client.hset(key, field, 0)
        over = struct.pack(">QQQ", 3, (today * 86_400 - 60) * SECOND, 3)
        await client.hset(key, "rate2:images_per_minute:key:x", over)
        await client.hset(key, recent, 0)
        await stage.ledger.hold(stage.team, [stage.hold_request()], [], state=SENT)
        assert len(await client.hkeys(key)) == len(before) + 6
        await client.hset(key, "today", today - 1)
        await stage.ledger.hold(stage.team, [stage.hold_request()], [], state=SENT)
        assert {*await client.hkeys(key)} == {*before, recent.encode()}
        assert await stage.used() == 60 * CENT


async def test_a_rebuild_leaves_other_windows_alone(redis_url: str) -> None:
    async with open_quota_harness("server", redis_url) as stage, client_at(redis_url) as client:
        lost = stage.hold_request()
        await stage.ledger.extend(stage.team, [replace(lost, entry=replace(lost.entry, held_at=SECOND))])
        for _ in range(2):
            assert await stage.rebuild()
        counters = await client.hmget(f"igw:{{{stage.team}}}:state", ["day:0:team", "month:197001:team", "open:team"])
        assert [int(entry or 0) for entry in counters] == [20 * CENT, 20 * CENT, 1]
        assert await stage.used() == 0


async def test_the_calendar_of_the_scripts_is_ours(redis_url: str) -> None:
    """Every day until 2243 is in the month that Python says; until 2255 microseconds are exact in a Lua number."""
    first, step, last = datetime(1970, 1, 1, tzinfo=UTC), 5_000, 100_000
    script = (
        (SCRIPTS / "clock.lua").read_text()
        + (SCRIPTS / "quotas" / "prelude.lua").read_text()
        + (
            "local told = {} for day = ARGV[1], ARGV[2] do local of_day, of_month = windows(day * DAY + DAY - 1) "
            "told[#told + 1] = of_day .. of_month end return told"
        )
    )
    async with client_at(redis_url) as client:
        for start in range(0, last, step):
            told = await client.execute_command("EVAL", script, 0, start, start + step - 1)
            days = [(number, first + timedelta(days=number)) for number in range(start, start + step)]
            assert [line.decode() for line in told] == [f"day:{number}:month:{day:%Y%m}:" for number, day in days]


async def test_a_cluster_serves_teams_of_every_slot_and_says_so_when_a_node_hangs(tmp_path: Path) -> None:
    with valkey_cluster(tmp_path) as url:
        async with ledger_at(url, LONG_TIMEOUT_SECONDS) as ledger:
            stages = [replace(plain, team=f"team-{number}", ledger=ledger) for number in range(12)]
            for stage in stages:
                assert await stage.rebuild()
                claim = stage.hold_request()
                await ledger.hold(stage.team, [claim], [DAILY], state=SENT)
                assert (await ledger.post(claim.entry)).outbox_id
                assert await stage.used() == 20 * CENT
        async with ledger_at(url) as ledger:
            runs = {stage.team: (await ledger.snapshot(stage.team)).epoch.split(".")[0] for stage in stages}
            assert len({*runs.values()}) == 3
            with suspended(server_in(tmp_path / "node-0")):
                down = await asyncio.gather(*(is_down(ledger, team) for team in runs))
            assert len({run for run, hangs in zip(runs.values(), down, strict=True) if hangs}) == 1


async def is_down(ledger: QuotaStore, team: str) -> bool:
    try:
        await ledger.snapshot(team)
    except StateUnavailable:
        return True
    return False


async def test_the_state_of_a_cluster_has_a_problem_or_none(tmp_path: Path) -> None:
    with valkey_cluster(tmp_path) as url:
        state = RedisServer(url)
        assert await state.problem() is None
        await state.close()
    state = RedisServer(url)
    assert "does not answer" in str(await state.problem())
    await state.close()
