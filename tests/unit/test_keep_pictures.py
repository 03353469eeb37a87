"""Pictures at an address: kept when they must be, and when the operator wants them."""

import itertools

import pytest

from service.domain.errors import InvalidValue, PictureNotFound, StoreUnavailable
from service.domain.links import NAME
from service.domain.outcomes import Purchase
from service.domain.routing import Plan
from service.domain.teams import Team
from service.usecases.events import StoreFailed
from service.usecases.keep_pictures import KeepPictures, file_names
from service.usecases.make_images import Made
from tests.fakes.builders import price, purchase, route, spec
from tests.fakes.observer import Recorder
from tests.fakes.pictures import FakePictures

TEAM = Team(name="search")
TWO = purchase("Zm94", "b3ds")  # fox and owl


def made(bought: Purchase = TWO, output_format: str = "png") -> Made:
    plan = Plan(route=route(), price=price())
    return Made(spec=spec(output_format=output_format), plan=plan, purchase=bought, created=0, cost=0)


def keeping(store: FakePictures | None, *, keep_all: bool = False, observe: Recorder | None = None) -> KeepPictures:
    numbers = itertools.count(1)
    return KeepPictures(
        store=store, mint=lambda: f"{next(numbers):032x}", observe=observe or Recorder(), keep_all=keep_all
    )


async def test_what_was_asked_for_by_address_is_kept() -> None:
    store = FakePictures()

    ids = await keeping(store)(made(), TEAM, "req_1", linked=True)

    assert [(name, picture.body) for name, picture in store.kept.items()] == [
        (f"{ids[0]}.png", b"fox"),
        (f"{ids[1]}.png", b"owl"),
    ]
    assert all(NAME.fullmatch(name) for name in store.kept)
    assert (await store.read(f"{ids[1]}.png")).media_type == "image/png"


@pytest.mark.parametrize(("keep_all", "count"), [(False, 0), (True, 2)])
async def test_what_goes_out_inline_is_kept_where_the_operator_wants_it(keep_all: bool, count: int) -> None:
    store = FakePictures()

    ids = await keeping(store, keep_all=keep_all)(made(), TEAM, "req_1", linked=False)

    assert (len(ids), len(store.kept)) == (2, count)


async def test_without_a_store_pictures_have_ids_all_the_same() -> None:
    ids = await keeping(None, keep_all=True)(made(), TEAM, "req_1", linked=False)

    assert len(set(ids)) == 2
    assert all(NAME.fullmatch(f"{each}.png") for each in ids)


async def test_addresses_need_a_store() -> None:
    with pytest.raises(InvalidValue, match="no picture store") as refused:
        keeping(None).check(linked=True)

    assert refused.value.param == "response_format"


@pytest.mark.parametrize(("store", "linked"), [(None, False), (FakePictures(), False), (FakePictures(), True)])
def test_everything_else_needs_none(store: FakePictures | None, linked: bool) -> None:
    keeping(store).check(linked=linked)


@pytest.mark.parametrize("room", [0, 1])
async def test_a_store_that_fails_is_an_error_for_who_asked_for_addresses(room: int) -> None:
    observe = Recorder()

    with pytest.raises(StoreUnavailable):
        await keeping(FakePictures(room), keep_all=True, observe=observe)(made(), TEAM, "req_1", linked=True)

    assert observe.events == []


async def test_a_store_that_fails_is_not_noticed_by_who_gets_the_picture_inline() -> None:
    observe, store = Recorder(), FakePictures()
    store.down = True

    ids = await keeping(store, keep_all=True, observe=observe)(made(), TEAM, "req_1", linked=False)

    assert len(ids) == 2
    assert observe.events == [StoreFailed(request_id="req_1", reason="The picture store does not answer.")]
    with pytest.raises(StoreUnavailable):
        await store.read(f"{ids[0]}.png")


async def test_what_was_not_kept_is_not_found() -> None:
    store = FakePictures()
    (first, _) = await keeping(store)(made(), TEAM, "req_1", linked=False)

    with pytest.raises(PictureNotFound):
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
    ],
)
def test_a_name_ends_as_the_picture_was_drawn(drawn: str | None, wanted: str, ending: str) -> None:
    bought = purchase(output_format=drawn)

    assert file_names(made(bought, wanted), ("img_1",)) == (f"img_1.{ending}",)
