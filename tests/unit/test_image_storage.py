"""Pictures that go out: kept when they must be, and unless the operator does not want them."""

import hashlib
import itertools
from dataclasses import replace
from typing import Any

import pytest

from service.domain.errors import ImageNotFound, InvalidValue
from service.domain.stored_images import is_stored_name, to_stored_name
from service.domain.team_access import Team
from service.usecases.images.image_storage import ImageStorage, StoredImages
from service.usecases.ports.events import ImageStoreFailed
from service.usecases.ports.requests import ImageRequest
from tests.fakes.builders import KEY, build_generation, caller, image_request, result, spec
from tests.fakes.image_store import FakeImageStore
from tests.fakes.observer import Recorder

TEAM = Team(name="search")
TWO = build_generation("Zm94", "b3ds")  # fox and owl


def wish(*, linked: bool = False, team: str = "search", **changes: Any) -> ImageRequest:
    return image_request(spec(**changes), caller(key=replace(KEY, team=Team(name=team))), linked=linked)


def keeping(store: FakeImageStore | None, *, keep_all: bool = False, observer: Recorder | None = None) -> ImageStorage:
    numbers = itertools.count(1)
    return ImageStorage(
        image_store=store,
        new_id=lambda: f"{next(numbers) + 9:032x}",
        observer=observer or Recorder(),
        store_all=keep_all,
        reuse_seconds=60,
    )


async def test_what_was_asked_for_by_address_is_kept() -> None:
    store = FakeImageStore()

    ids = (await keeping(store).store(TWO, wish(linked=True))).ids

    assert store.stored == {f"{ids[0]}.png": b"fox", f"{ids[1]}.png": b"owl"}
    assert all(is_stored_name(name) for name in store.stored)


@pytest.mark.parametrize(("keep_all", "count"), [(False, 0), (True, 2)])
async def test_what_goes_out_inline_is_kept_where_the_operator_wants_it(keep_all: bool, count: int) -> None:
    store = FakeImageStore()

    found = await keeping(store, keep_all=keep_all).store(TWO, wish())

    assert (len(found.ids), len(store.stored), found.are_stored) == (2, count, keep_all)


async def test_without_a_store_pictures_have_ids_all_the_same() -> None:
    ids = (await keeping(None, keep_all=True).store(TWO, wish())).ids

    assert len(set(ids)) == 2
    assert all(is_stored_name(f"{each}.png") for each in ids)


async def test_addresses_need_a_store() -> None:
    with pytest.raises(InvalidValue, match="no picture store") as refused:
        keeping(None).check_available(linked=True)

    assert refused.value.param == "response_format"


@pytest.mark.parametrize(("store", "linked"), [(None, False), (FakeImageStore(), False), (FakeImageStore(), True)])
def test_everything_else_needs_none(store: FakeImageStore | None, linked: bool) -> None:
    keeping(store).check_available(linked=linked)


@pytest.mark.parametrize("room", [0, 1])
@pytest.mark.parametrize("linked", [True, False])
async def test_a_store_that_fails_is_told_and_remembered(room: int, linked: bool) -> None:
    observer = Recorder()

    found = await keeping(FakeImageStore(room), keep_all=True, observer=observer).store(TWO, wish(linked=linked))

    assert (len(found.ids), found.are_stored) == (2, False)
    assert [type(event) for event in observer.events] == [ImageStoreFailed]


KEPT = StoredImages((f"img_{hashlib.sha256(b'search').hexdigest()[:8]}p{1:032x}",), are_stored=True)


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("down", [True, False])
async def test_what_lies_in_the_store_keeps_its_ids(linked: bool, down: bool) -> None:
    store = FakeImageStore()
    await store.put(f"{KEPT.ids[0]}.png", b"fox")
    store.down = down
    kept = result(ids=KEPT.ids, images_stored=True)

    assert await keeping(store, keep_all=True).reuse_or_store(kept, wish(linked=linked), age_seconds=59) == KEPT


async def test_what_somebody_deleted_is_kept_again_when_an_address_is_wanted() -> None:
    store = FakeImageStore()
    kept = result(ids=KEPT.ids, images_stored=True)

    assert await keeping(store).reuse_or_store(kept, wish(linked=True), age_seconds=0) == KEPT
    assert store.stored == {f"{KEPT.ids[0]}.png": b"fox"}


@pytest.mark.parametrize(("age", "team"), [(60, "search"), (0, "ads")])
async def test_what_is_about_to_go_or_is_of_another_team_gets_new_ids(age: int, team: str) -> None:
    store = FakeImageStore()
    kept = result(ids=KEPT.ids, images_stored=True)

    found = await keeping(store, keep_all=True).reuse_or_store(kept, wish(team=team), age)

    assert found.are_stored
    assert store.stored == {f"{found.ids[0]}.png": b"fox"}


@pytest.mark.parametrize("linked", [True, False])
async def test_what_was_not_kept_is_when_an_address_is_wanted(linked: bool) -> None:
    store = FakeImageStore()
    kept = result(ids=KEPT.ids)

    assert await keeping(store).reuse_or_store(kept, wish(linked=linked), age_seconds=0) == replace(
        KEPT, are_stored=linked
    )
    assert store.stored == ({f"{KEPT.ids[0]}.png": b"fox"} if linked else {})


async def test_what_was_not_kept_is_not_found() -> None:
    store = FakeImageStore()
    first, _ = (await keeping(store).store(TWO, wish())).ids

    with pytest.raises(ImageNotFound):
        await store.read(f"{first}.png")


@pytest.mark.parametrize(
    ("drawn", "wanted", "ending"),
    [
        ("png", "png", "png"),
        ("jpeg", "jpeg", "jpg"),
        ("webp", "png", "webp"),
        (None, "jpeg", "jpg"),
        (None, "svg", "svg"),
        ("gif", "gif", "gif"),
        ("avif", "png", "bin"),
    ],
)
async def test_a_name_ends_as_the_picture_was_drawn(drawn: str | None, wanted: str, ending: str) -> None:
    bought = build_generation("Zm94", output_format=drawn)

    (picture,) = (await keeping(None).store(bought, wish(output_format=wanted))).ids

    assert to_stored_name(picture) == f"{picture}.{ending}"


async def test_what_cannot_be_decoded_is_not_kept() -> None:
    store, observer = FakeImageStore(), Recorder()

    assert not (await keeping(store, observer=observer).store(build_generation("###"), wish(linked=True))).are_stored

    assert store.stored == {}
    assert len(observer.events) == 1
