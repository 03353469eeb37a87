"""A request from its spec to its images, along any backend that may and can serve it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

import pytest

from service.adapters.redis.connection_pool import ConnectionQueue
from service.domain.booking import Caller
from service.domain.errors import (
    MAY_BE_BILLED,
    BackendFailed,
    FailureKind,
    GatewayError,
    InvalidValue,
    ModelNotFound,
    NotAllowed,
    Overloaded,
    StoreUnavailable,
    UnreachableLink,
)
from service.domain.generation import Generation, Usage
from service.domain.image_spec import Size, Spec
from service.domain.routing import STEP_AFTER, NextStep, Transcode
from service.domain.team_access import Key, Team
from service.usecases.generate.attempt import worse
from service.usecases.generate.attempts import RetryPolicy
from service.usecases.images.transcode_images import fix_format
from service.usecases.ports.events import AttemptFinished
from service.usecases.ports.image_codec import ImageInfo
from tests.fakes.backends import FakeBackend
from tests.fakes.builders import SQUARE, build_generation, caller, catalog, edit, failure, linked, model, route, spec
from tests.fakes.gateway import drawn as images
from tests.fakes.gateway import images_from
from tests.fakes.image_codec import FakeImageCodec
from tests.fakes.observer import Recorder
from tests.fakes.reference_fetcher import FakeReferenceFetcher

TWO_WAYS = catalog(model(routes=(route(backend="alpha"), route(backend="beta", model="beta/painter"))))
FOUR_AT_ONCE = catalog(model(routes=(route(max_n=4),)))
ONWARDS = sorted(kind for kind, following in STEP_AFTER.items() if following is not NextStep.GIVE_UP)
FINAL = sorted(kind for kind, following in STEP_AFTER.items() if following is NextStep.GIVE_UP)
JPEG = ImageInfo(media_type="image/jpeg", size=Size(640, 480), has_alpha=False)


def of(**rights: Any) -> Caller:
    """Build a caller of a team with these rights."""
    return caller(key=Key(id="search-1", team=Team(name="search", **rights), digest="d"))


async def test_a_wish_becomes_pictures() -> None:
    alpha, paid_images = FakeBackend(build_generation("fox")), build_generation("fox")
    a_spec = spec(tier="low", size=SQUARE)

    made = await images_from({"alpha": alpha})(a_spec, caller(), catalog())

    assert (made.spec, made.result.generation, made.result.created) == (a_spec, paid_images, 1_795_000_000)
    (order,) = alpha.requests
    assert (order.spec, order.route, order.price) == (a_spec, route(), route().prices[0])
    assert (order.request_id, made.result.upstream_model) == ("req_1", "alpha/painter")


async def test_a_caller_that_wants_addresses_gets_an_error_without_a_store() -> None:
    alpha = FakeBackend(build_generation("fox"))
    with pytest.raises(StoreUnavailable, match="were made"):
        await images_from({"alpha": alpha})(spec(), caller(), catalog(), linked=True)
    assert len(alpha.requests) == 1


@pytest.mark.parametrize("asked", ["", "vendor/painter"])
async def test_a_model_is_called_by_its_own_name_from_here_on(asked: str) -> None:
    alpha = FakeBackend(build_generation())

    made = await images_from({"alpha": alpha})(spec(model=asked), caller(), catalog(model(aliases=("vendor/painter",))))

    assert (made.spec.model, alpha.requests[0].spec.model) == ("painter", "painter")


async def test_a_team_bound_to_a_model_may_use_its_alias() -> None:
    painters = of(models=frozenset({"painter"}))

    made = await images_from({"alpha": FakeBackend(build_generation())})(
        spec(model="vendor/painter"), painters, catalog(model(aliases=("vendor/painter",)))
    )

    assert made.spec.model == "painter"


async def test_what_the_vendor_did_not_date_is_dated_here() -> None:
    now = datetime(2026, 11, 21, 10, 0, 0, 900_000, tzinfo=UTC)

    made = await images_from({"alpha": FakeBackend(build_generation(created=None))}, now=lambda: now)(
        spec(), caller(), catalog()
    )

    assert made.result.created == 1_795_255_200


@pytest.mark.parametrize(
    ("a_spec", "who", "kind"),
    [
        (spec(model="missing"), caller(), ModelNotFound),
        (spec(model="painter"), of(models=frozenset({"other"})), NotAllowed),
        (spec(tier="ultra"), caller(), InvalidValue),
        (spec(size=Size(1920, 1080)), caller(), InvalidValue),
        (edit(linked()), of(tiers=frozenset({"low"})), NotAllowed),
        (edit(linked(), output_format="jpeg", background="transparent"), caller(), InvalidValue),
        (edit(linked("https://gone.test/")), caller(), UnreachableLink),
    ],
)
async def test_what_is_wrong_is_found_before_anything_is_bought(
    a_spec: Spec, who: Caller, kind: type[GatewayError]
) -> None:
    alpha, observer = FakeBackend(), Recorder()

    with pytest.raises(kind):
        await images_from({"alpha": alpha}, observer=observer)(a_spec, who, catalog())

    assert (alpha.requests, observer.of(AttemptFinished)) == ([], [])


@pytest.mark.parametrize("changes", [{"tier": "ultra"}, {"model": "missing"}, {"seed": 1}])
async def test_nothing_is_fetched_for_a_request_that_is_refused(changes: Mapping[str, object]) -> None:
    links = FakeReferenceFetcher({"https://pictures.test/fox.png": b"fox"})
    known = catalog(model(routes=(route(carries=frozenset({"image", "quality"})),)))

    with pytest.raises(GatewayError):
        await images_from({"alpha": FakeBackend()}, links=links)(edit(linked(), **changes), caller(), known)

    assert links.fetched == []


async def test_without_a_backend_that_is_on_there_is_no_model() -> None:
    with pytest.raises(ModelNotFound):
        await images_from({})(spec(), caller(), catalog())


async def test_the_end_of_a_model_comes_with_its_day() -> None:
    ending = catalog(model(shutdown_date=date(2026, 12, 1)))
    eve, morning = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)

    await images_from({"alpha": FakeBackend(build_generation())}, now=lambda: eve)(spec(), caller(), ending)
    with pytest.raises(ModelNotFound):
        await images_from({"alpha": FakeBackend(build_generation())}, now=lambda: morning)(spec(), caller(), ending)


async def test_the_first_backend_of_the_catalog_draws() -> None:
    alpha, beta = FakeBackend(build_generation("a")), FakeBackend(build_generation("b"))

    made = await images_from({"beta": beta, "alpha": alpha})(spec(), caller(), TWO_WAYS)

    assert (images(made), made.result.backend, beta.requests) == ([b"a"], "alpha", [])


@pytest.mark.parametrize("kind", ONWARDS)
async def test_after_a_failure_of_a_backend_the_next_one_is_asked(kind: FailureKind) -> None:
    alpha, beta = FakeBackend(failure(kind)), FakeBackend(build_generation("b"))

    made = await images_from({"alpha": alpha, "beta": beta})(spec(), caller(), TWO_WAYS)

    assert (images(made), made.result.upstream_model) == ([b"b"], "beta/painter")
    assert (len(alpha.requests), len(beta.requests)) == (1, 1)


@pytest.mark.parametrize("kind", FINAL)
async def test_after_a_final_failure_no_other_backend_is_called(kind: FailureKind) -> None:
    alpha, beta = FakeBackend(failure(kind, "No.")), FakeBackend(build_generation("b"))

    with pytest.raises(BackendFailed) as failed:
        await images_from({"alpha": alpha, "beta": beta})(spec(), caller(), TWO_WAYS)

    assert (failed.value.failure.kind, failed.value.message) == (kind, "No.")
    assert (len(alpha.requests), len(beta.requests)) == (1, 0)


async def test_a_final_failure_counts_more_than_the_one_before() -> None:
    alpha = FakeBackend(failure(FailureKind.RATE_LIMITED, "first"))
    beta = FakeBackend(failure(FailureKind.TIMED_OUT, "second"))

    with pytest.raises(BackendFailed, match="second"):
        await images_from({"alpha": alpha, "beta": beta})(spec(), caller(), TWO_WAYS)


async def test_every_attempt_is_observed() -> None:
    observer = Recorder()
    alpha, beta = FakeBackend(failure(FailureKind.OVERLOADED)), FakeBackend(build_generation())

    await images_from({"alpha": alpha, "beta": beta}, observer=observer)(spec(), caller(), TWO_WAYS)

    assert observer.of(AttemptFinished) == [
        AttemptFinished(
            request_id="req_1", backend="alpha", model="alpha/painter", seconds=1, failure=FailureKind.OVERLOADED
        ),
        AttemptFinished(request_id="req_1", backend="beta", model="beta/painter", seconds=1, failure=None),
    ]


def four_four_two(*, usages: tuple[Usage | None, ...]) -> list[Generation]:
    names = (("a", "b", "c", "d"), ("e", "f", "g", "h"), ("i", "j"))
    return [build_generation(*some, usage=usage) for some, usage in zip(names, usages, strict=True)]


async def test_a_large_request_is_split_and_joined_in_order_of_its_calls() -> None:
    usage = Usage(text_in=10, image_out=100)
    alpha = FakeBackend(*four_four_two(usages=(usage, usage, usage)), admission=[5, 3, 0])

    made = await images_from({"alpha": alpha})(spec(n=10), caller(), FOUR_AT_ONCE)

    assert [order.spec.n for order in alpha.requests] == [4, 4, 2]
    assert images(made) == [name.encode() for name in "abcdefghij"]
    assert made.result.generation.usage == Usage(text_in=30, image_out=300)
    assert (made.spec.n, made.result.generation.size, made.result.generation.created) == (10, SQUARE, 1_795_000_000)


async def test_usage_that_is_known_in_part_is_not_known() -> None:
    usage = Usage(text_in=10, image_out=100)
    alpha = FakeBackend(*four_four_two(usages=(usage, None, usage)))

    made = await images_from({"alpha": alpha})(spec(n=10), caller(), FOUR_AT_ONCE)

    assert made.result.generation.usage is None


@pytest.mark.parametrize("kind", sorted(MAY_BE_BILLED))
async def test_if_one_of_several_may_have_been_billed_no_other_backend_is_called(kind: FailureKind) -> None:
    alpha = FakeBackend(failure(FailureKind.RATE_LIMITED), failure(kind, "billed?"))
    beta = FakeBackend(build_generation())
    both = catalog(model(routes=(route(max_n=4), route(backend="beta"))))

    with pytest.raises(BackendFailed, match="billed"):
        await images_from({"alpha": alpha, "beta": beta})(spec(n=5), caller(), both)

    assert beta.requests == []


async def test_if_all_of_several_failed_for_nothing_the_next_backend_is_asked_for_all() -> None:
    alpha = FakeBackend(failure(FailureKind.RATE_LIMITED), failure(FailureKind.BUSY))
    beta = FakeBackend(build_generation("a", "b", "c", "d", "e"))
    both = catalog(model(routes=(route(max_n=4), route(backend="beta"))))

    made = await images_from({"alpha": alpha, "beta": beta})(spec(n=5), caller(), both)

    assert (len(images(made)), beta.requests[0].spec.n) == (5, 5)


PNG_ONLY = catalog(model(routes=(route(carries=frozenset(), formats=frozenset({"png"})),)))


async def test_what_a_backend_cannot_write_is_developed_here() -> None:
    alpha = FakeBackend(build_generation("a", "b", usage=Usage(image_out=7)))
    a_spec = spec(n=2, output_format="webp", output_compression=30)

    made = await images_from({"alpha": alpha})(a_spec, caller(), PNG_ONLY)

    assert (alpha.requests[0].spec.output_format, alpha.requests[0].spec.output_compression) == ("png", None)
    assert images(made) == [b"webp@30:a", b"webp@30:b"]
    assert (made.result.generation.output_format, made.result.generation.usage) == ("webp", Usage(image_out=7))
    assert made.spec == a_spec


@pytest.mark.parametrize(
    ("changes", "asked", "drawn", "image_bytes"),
    [
        ({"output_format": None, "size": None}, spec(), JPEG, b"png@100:fox"),
        ({"output_format": "jpeg"}, spec(), None, b"png@100:fox"),
        ({"output_format": "png"}, spec(output_format="webp"), None, b"webp@100:fox"),
        ({"output_format": "png"}, spec(output_format="jpeg", output_compression=60), None, b"jpeg@60:fox"),
        ({"output_format": "png"}, spec(output_format="gif"), None, b"fox"),
        ({"output_format": "png"}, spec(output_format="svg"), None, b"fox"),
        ({"output_format": "webp"}, spec(output_format="webp"), None, b"fox"),
        ({"output_format": None, "size": None}, spec(output_format="svg"), None, b"fox"),
    ],
)
async def test_a_picture_in_another_format_than_asked_for_is_mended(
    changes: Mapping[str, object], asked: Spec, drawn: ImageInfo | None, image_bytes: bytes
) -> None:
    codec = FakeImageCodec(measures={b"fox": drawn})

    made = await images_from({"alpha": FakeBackend(build_generation(**changes))}, codec=codec)(
        asked, caller(), catalog()
    )

    assert images(made) == [image_bytes]


@pytest.mark.parametrize(
    ("changes", "size", "output_format"),
    [
        ({}, SQUARE, "png"),
        ({"size": None}, Size(640, 480), "jpeg"),
        ({"output_format": None}, Size(640, 480), "jpeg"),
    ],
)
async def test_what_the_vendor_left_unsaid_is_read_from_the_picture(
    changes: Mapping[str, object], size: Size, output_format: str
) -> None:
    codec = FakeImageCodec(measures={b"fox": JPEG})
    asked = spec(output_format=output_format)

    made = await images_from({"alpha": FakeBackend(build_generation(**changes))}, codec=codec)(
        asked, caller(), catalog()
    )

    assert (made.result.generation.size, made.result.generation.output_format, images(made)) == (
        size,
        output_format,
        [b"fox"],
    )


@pytest.mark.parametrize(
    ("changes", "known"), [({"output_format": None}, catalog()), ({}, PNG_ONLY)], ids=["measured", "developed"]
)
async def test_a_reply_that_is_no_picture_is_broken_and_not_bought_again(
    changes: Mapping[str, object], known: object
) -> None:
    codec = FakeImageCodec(broken={b"junk"})
    alpha, beta = FakeBackend(build_generation("junk", **changes)), FakeBackend(build_generation())
    routes = (route(carries=frozenset(), formats=frozenset({"png"})), route(backend="beta"))
    both = catalog(model(routes=routes)) if known is PNG_ONLY else TWO_WAYS
    asked = spec(output_format="webp") if known is PNG_ONLY else spec()

    with pytest.raises(BackendFailed, match="not a picture") as failed:
        await images_from({"alpha": alpha, "beta": beta}, codec=codec)(asked, caller(), both)

    assert (failed.value.failure.kind, beta.requests) == (FailureKind.BROKEN_REPLY, [])


async def test_a_reply_that_cannot_be_read_spoils_no_other_order() -> None:
    codec = FakeImageCodec(broken={b"junk"})
    alpha = FakeBackend(build_generation("junk", output_format=None), build_generation("e", output_format=None))

    some = RetryPolicy(wait_seconds=0, accepts_partial=True)
    made = await images_from({"alpha": alpha}, codec=codec, retry=some)(spec(n=5), caller(), FOUR_AT_ONCE)

    assert images(made) == [b"e"]


@pytest.mark.parametrize(
    ("alpha_relays", "beta_relays", "fetched"), [(True, True, 0), (True, False, 1), (False, True, 1), (False, False, 1)]
)
async def test_links_are_left_alone_only_where_every_candidate_takes_links(
    alpha_relays: bool, beta_relays: bool, fetched: int
) -> None:
    alpha = FakeBackend(build_generation(), relays_links=alpha_relays)
    beta = FakeBackend(relays_links=beta_relays)
    links = FakeReferenceFetcher({"https://pictures.test/fox.png": b"fox"})

    await images_from({"alpha": alpha, "beta": beta}, links=links)(edit(linked()), caller(), TWO_WAYS)

    (handed_over,) = alpha.requests[0].spec.references
    assert len(links.fetched) == fetched
    assert (handed_over.content is None) == (fetched == 0)


async def test_a_backend_that_may_not_draw_has_no_say_about_links() -> None:
    alpha = FakeBackend(build_generation(), relays_links=True)
    unable = catalog(model(routes=(route(backend="alpha"), route(backend="beta", carries=frozenset()))))
    links = FakeReferenceFetcher()

    await images_from({"alpha": alpha, "beta": FakeBackend()}, links=links)(edit(linked()), caller(), unable)

    assert links.fetched == []


def test_mending_keeps_the_compression_that_was_asked_for() -> None:
    drawn = build_generation(output_format="png")

    assert fix_format(drawn, spec(output_format="jpeg", output_compression=0)) == Transcode(
        output_format="jpeg", quality=0
    )
    assert fix_format(drawn, spec(output_format="jpeg")) == Transcode(output_format="jpeg", quality=100)
    assert fix_format(build_generation(output_format=None), spec()) is None


@pytest.mark.parametrize(
    ("kinds", "index"),
    [
        ([FailureKind.BUSY], 0),
        ([FailureKind.BUSY, FailureKind.OVERLOADED], 0),
        ([FailureKind.BUSY, FailureKind.AUTH_FAILED, FailureKind.OVERLOADED], 1),
        ([FailureKind.BUSY, FailureKind.INVALID_REQUEST, FailureKind.TIMED_OUT], 1),
        ([FailureKind.BROKEN_REPLY, FailureKind.BUSY], 0),
    ],
)
def test_of_several_failures_the_first_of_the_worst_decides(kinds: list[FailureKind], index: int) -> None:
    failures = [failure(kind) for kind in kinds]

    assert reduce(worse, failures) is failures[index]


async def test_an_overloaded_replica_begins_nothing() -> None:
    alpha, queue = FakeBackend(build_generation()), ConnectionQueue(max_waiting=1, waiting=1)
    make = images_from({"alpha": alpha}, queue=queue)
    with pytest.raises(Overloaded):
        await make(spec(), caller(), catalog())
    assert alpha.requests == []
    queue.waiting = 0
    assert (await make(spec(), caller(), catalog())).result.generation.images
