"""The list of files: in memory, in SQLite and in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.adapters.sql.database import Database
from service.adapters.sql.file_index import SqlFileIndex
from service.domain.errors import LedgerUnavailable
from service.domain.stored_images import UPLOADED, UploadedFile, build_team_digest, new_image_id
from service.usecases.ports.file_index import FileIndex, FileQuery
from tests.fakes.file_index import FakeFileIndex

pytest_plugins = ["tests.support.databases"]

NOW = datetime(2026, 11, 21, 12, 30, 15, 123457, tzinfo=UTC)
HOUR, DAY = 3600, 86_400


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
async def index(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> AsyncIterator[FileIndex]:
    if request.param == "fake":
        yield FakeFileIndex()
        return
    database = Database(await asyncio.to_thread(new_database, request.param))
    yield SqlFileIndex(database)
    await database.close()


def uploaded(number: int, age: float = 0, team: str = "search", seconds: int | None = None) -> UploadedFile:
    image_id = new_image_id(team, "png", f"{number:032x}", UPLOADED, seconds)
    return UploadedFile(
        id=image_id, filename=f"fox {number} é.png", length=2**33, written_at=NOW - timedelta(seconds=age)
    )


def query(**changes: Any) -> FileQuery:
    usual: dict[str, Any] = {
        "team_digest": build_team_digest("search"),
        "now": NOW,
        "keep_seconds": 30 * DAY,
        "limit": 10,
    }
    return FileQuery(**usual | {"descending": True} | changes)


async def test_files_are_listed_by_their_time_and_then_by_their_id(index: FileIndex) -> None:
    files = [uploaded(1, age=5), uploaded(3, age=9), uploaded(2, age=9), uploaded(4, age=0)]
    await index.add(files)

    by_time = [files[3], files[0], files[1], files[2]]
    assert await index.page(query()) == by_time
    assert await index.page(query(descending=False)) == by_time[::-1]
    assert await index.page(query(limit=2)) == by_time[:2]


@pytest.mark.parametrize("descending", [True, False])
async def test_a_list_goes_on_behind_any_file_of_it(index: FileIndex, descending: bool) -> None:
    await index.add([uploaded(number, age=number // 3) for number in range(10)])
    everything = await index.page(query(descending=descending))
    assert everything
    assert len(everything) == 10
    for place, file in enumerate(everything):
        page = await index.page(query(descending=descending, after=file.id, limit=4))
        assert page == everything[place + 1 :][:4]


async def test_a_deleted_file_is_not_listed_but_still_a_place_in_the_list(index: FileIndex) -> None:
    files = [uploaded(number, age=number) for number in range(4)]
    await index.add(files)

    await index.delete([files[1].id, uploaded(9).id])
    await index.add([files[1]])

    assert await index.page(query()) == [files[0], *files[2:]]
    assert await index.page(query(after=files[1].id)) == files[2:]
    assert await index.find_unknown([files[1].id, uploaded(9).id]) == {uploaded(9).id}


async def test_a_team_sees_its_own(index: FileIndex) -> None:
    mine, theirs = uploaded(1), uploaded(2, team="ads")
    await index.add([mine, theirs])

    assert await index.page(query()) == [mine]
    assert await index.page(query(team_digest=build_team_digest("ads"))) == [theirs]
    assert await index.page(query(team_digest=build_team_digest("nobody"))) == []
    assert await index.page(query(after=theirs.id)) is None
    assert await index.page(query(after=uploaded(3).id)) is None


async def test_a_file_is_listed_as_long_as_it_is_kept(index: FileIndex) -> None:
    lent, shared = uploaded(1, age=HOUR - 0.001, seconds=HOUR), uploaded(2, age=DAY - 0.001)
    over = [uploaded(3, age=HOUR, seconds=HOUR), uploaded(4, age=DAY), uploaded(5, age=DAY, seconds=2 * DAY)]
    await index.add([lent, shared, *over])

    assert await index.page(query(keep_seconds=DAY)) == [lent, shared]
    assert await index.page(query(keep_seconds=DAY, after=over[0].id)) == [shared]
    await index.expire(NOW, DAY)

    assert await index.page(query(keep_seconds=DAY)) == [lent, shared]
    assert await index.find_unknown([file.id for file in (lent, shared, *over)]) == {file.id for file in over}


async def test_what_is_known_already_is_left_as_it_is(index: FileIndex) -> None:
    file = uploaded(1)
    await asyncio.gather(*(index.add([file, uploaded(2)]) for _ in range(5)))
    await index.add([UploadedFile(id=file.id, filename="other", length=1, written_at=NOW)])
    await index.add([])

    assert await index.page(query(descending=False)) == [file, uploaded(2)]


async def test_all_that_is_listed_can_be_gone_through(index: FileIndex) -> None:
    files = [uploaded(number, age=10) for number in range(1203)]
    await index.add(files)
    await index.add([uploaded(2000, age=5), uploaded(2001, age=10)])
    await index.delete([uploaded(2001).id])

    ids = [image_id async for batch in index.listed_ids(NOW - timedelta(seconds=5)) for image_id in batch]

    assert sorted(ids) == [file.id for file in files]
    assert len(await everything(index)) == len(files) + 1
    assert await index.find_unknown([*ids, uploaded(3000).id]) == {uploaded(3000).id}
    await index.delete(ids)
    assert await index.page(query()) == [uploaded(2000, age=5)]


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
async def no_index(request: pytest.FixtureRequest, absent_database: Callable[[str], str]) -> AsyncIterator[FileIndex]:
    if request.param == "fake":
        fake = FakeFileIndex()
        fake.down = True
        yield fake
        return
    database = Database(await asyncio.to_thread(absent_database, request.param))
    yield SqlFileIndex(database)
    await database.close()


async def everything(index: FileIndex) -> list[str]:
    return [image_id async for batch in index.listed_ids(NOW) for image_id in batch]


async def test_an_index_that_is_down_says_so(no_index: FileIndex) -> None:
    verbs: list[Coroutine[Any, Any, object]] = [
        no_index.add([uploaded(1)]),
        no_index.delete([uploaded(1).id]),
        no_index.page(query()),
        no_index.find_unknown([uploaded(1).id]),
        everything(no_index),
        no_index.expire(NOW, DAY),
    ]
    for verb in verbs:
        with pytest.raises(LedgerUnavailable):
            await verb
