"""The operator's side of the cache: counted and forgotten by team and model, and who forgot is written down."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from service.domain.catalog import Retired
from service.domain.errors import InvalidValue, LedgerUnavailable, StateUnavailable
from service.usecases.admin.purge_cache import CountCachedResults, PurgeCache
from service.usecases.ports.config import ConfigSnapshot, FixedConfig
from service.usecases.ports.key_store import Actor
from tests.fakes.builders import KEY, NOW, TODAY, catalog, model
from tests.fakes.key_store import FakeKeyStore
from tests.fakes.result_store import FakeResultStore
from tests.support.result_stores import build_result

ADMIN = Actor(name="admin", request_id="req_1")
LIVE = ConfigSnapshot(
    catalog=catalog(
        model(id="painter", aliases=("old-painter",)),
        model(id="etcher"),
        retired={"dauber": Retired(since=TODAY, successor="painter")},
    ),
    teams={"search": KEY.team, "ads": KEY.team},
    keys={},
)


class Desk:
    """The use cases on fakes."""

    def __init__(self, *, shared: bool = False) -> None:
        self.results, self.store = FakeResultStore(), FakeKeyStore()
        self.count = CountCachedResults(results=self.results, config=FixedConfig(LIVE), shared=shared)
        self.purge = PurgeCache(cached=self.count, key_store=self.store, now=lambda: NOW)

    async def fill(self) -> None:
        """One result each of painter for search and ads, of etcher for search, and of and for who left the settings."""
        places = (("search", "painter"), ("search", "etcher"), ("ads", "painter"), ("leavers", "gone"))
        for number, (team, of) in enumerate(places):
            await self.results.put(team, f"r{number}", replace(build_result(), model=of), 60)

    async def left(self) -> int:
        return (await self.count.count(None, None)).results


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.fill()
    return desk


CHOICES = [
    (None, None, 4, "every team; every model"),
    ("search", None, 2, "team search; every model"),
    (None, "painter", 2, "every team; model painter"),
    (None, "old-painter", 2, "every team; model painter"),
    ("search", "etcher", 1, "team search; model etcher"),
    ("ads", "etcher", 0, "team ads; model etcher"),
    ("leavers", None, 1, "team leavers; every model"),
    (None, "gone", 1, "every team; model gone"),
    (None, "dauber", 0, "every team; model dauber"),
]


@pytest.mark.parametrize(("team", "of", "number", "detail"), CHOICES)
async def test_what_is_counted_is_what_is_forgotten(
    desk: Desk, team: str | None, of: str | None, number: int, detail: str
) -> None:
    stats = await desk.count.count(team, of)

    assert stats.results == number
    assert (stats.size_bytes > 0) == (number > 0)
    assert await desk.purge.purge(ADMIN, team, of) == number
    assert await desk.left() == 4 - number
    (record,) = desk.store.audit
    assert (record.at, record.actor, record.request_id) == (NOW, "admin", "req_1")
    assert (record.action, record.subject, record.detail) == ("cache.purge", "cache", detail)


@pytest.mark.parametrize(
    ("team", "of", "param"), [("nobody", None, "team"), ("", None, "team"), (None, "", "model"), ("ads", "x", "model")]
)
async def test_a_slip_of_the_pen_is_told_and_nothing_is_forgotten(
    desk: Desk, team: str | None, of: str | None, param: str
) -> None:
    ways: list[Callable[[], Awaitable[object]]] = [
        lambda: desk.count.count(team, of),
        lambda: desk.purge.purge(ADMIN, team, of),
    ]
    for way in ways:
        with pytest.raises(InvalidValue) as told:
            await way()
        assert told.value.param == param
    assert (await desk.left(), desk.store.audit) == (4, [])


async def test_where_teams_share_there_is_nothing_of_one_team() -> None:
    desk = Desk(shared=True)
    await desk.results.put("_shared", "r1", replace(build_result(), model="painter"), 60)

    with pytest.raises(InvalidValue, match="Teams share"):
        await desk.purge.purge(ADMIN, "search", None)

    assert (await desk.count.count(None, "painter")).results == 1
    assert await desk.purge.purge(ADMIN, None, None) == 1


async def test_a_cache_that_is_away_is_not_empty(desk: Desk) -> None:
    desk.results.down = True

    for way in (desk.count.count("search", None), desk.purge.purge(ADMIN, None, None)):
        with pytest.raises(StateUnavailable, match="The cache does not answer"):
            await way


async def test_what_cannot_be_written_down_is_not_done(desk: Desk) -> None:
    desk.store.down = True

    with pytest.raises(LedgerUnavailable):
        await desk.purge.purge(ADMIN, "search", None)

    assert await desk.left() == 4
