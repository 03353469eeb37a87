"""Pictures that go out: kept when they must be, and unless the operator does not want them."""

import itertools

import pytest

from service.domain.errors import InvalidValue, PictureNotFound, StoreUnavailable
from service.domain.kept import is_name, name_of
from service.domain.outcomes import Purchase
from service.domain.teams import Team
from service.usecases.buy_pictures import Made
from service.usecases.events import StoreFailed
from service.usecases.keep_pictures import KeepPictures
from tests.fakes.builders import purchase, spec
from tests.fakes.observer import Recorder
from tests.fakes.pictures import FakePictures

TEAM = Team(name="search")
TWO = purchase("Zm94", "b3ds")  # fox and owl


def made(bought: Purchase = TWO, output_format: str = "png") -> Made:
    return Made(
        spec=spec(output_format=output_format),
        backend="alpha",
        upstream_model="alpha/painter",
        price_version="1",
        purchase=bought,
        created=0,
        cost=0,
    )


def keeping(store: FakePictures | None, *, keep_all: bool = False, observe: Recorder | None = None) -> KeepPictures:
    numbers = itertools.count(1)
    return KeepPictures(
        store=store, mint=lambda: f"{next(numbers):032x}", observe=observe or Recorder(), keep_all=keep_all
    )


async def test_what_was_asked_for_by_address_is_kept() -> None:
    store = FakePictures()

    ids = await keeping(store)(made(), TEAM, "req_1", linked=True)

    assert store.kept == {f"{ids[0]}.png": b"fox", f"{ids[1]}.png": b"owl"}
    assert all(is_name(name) for name in store.kept)


@pytest.mark.parametrize(("keep_all", "count"), [(False, 0), (True, 2)])
async def test_what_goes_out_inline_is_kept_where_the_operator_wants_it(keep_all: bool, count: int) -> None:
    store = FakePictures()

    ids = await keeping(store, keep_all=keep_all)(made(), TEAM, "req_1", linked=False)

    assert (len(ids), len(store.kept)) == (2, count)


async def test_without_a_store_pictures_have_ids_all_the_same() -> None:
    ids = await keeping(None, keep_all=True)(made(), TEAM, "req_1", linked=False)

    assert len(set(ids)) == 2
    assert all(is_name(f"{each}.png") for each in ids)


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
        ("avif", "png", "bin"),
    ],
)
async def test_a_name_ends_as_the_picture_was_drawn(drawn: str | None, wanted: str, ending: str) -> None:
    bought = purchase("Zm94", output_format=drawn)

    (picture,) = await keeping(None)(made(bought, wanted), TEAM, "req_1", linked=False)

    assert name_of(picture) == f"{picture}.{ending}"


async def test_what_cannot_be_decoded_is_not_kept() -> None:
    store, observe = FakePictures(), Recorder()

    with pytest.raises(StoreUnavailable, match="cannot be decoded"):
        await keeping(store)(made(purchase("###")), TEAM, "req_1", linked=True)
    await keeping(store, keep_all=True, observe=observe)(made(purchase("###")), TEAM, "req_1", linked=False)

    assert store.kept == {}
    assert len(observe.events) == 1
