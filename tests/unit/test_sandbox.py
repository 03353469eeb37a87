"""The sandbox as a backend: it delivers, counts, waits and fails as a vendor would."""

import io
from datetime import date
from math import nan
from typing import Any, BinaryIO

import pybase64
import pytest
from PIL import Image

from service.adapters.backends.sandbox.backend import (
    FAULTS,
    KNOWN_FAULTS,
    SandboxBackend,
    SandboxSettings,
    named_failure,
)
from service.domain.catalog import Route
from service.domain.errors import Failure, FailureKind
from service.domain.generation import Generation, Usage
from service.domain.image_spec import Operation, Reference, Size, Spec
from service.domain.pricing import Price, TokenRates, Tokens
from service.usecases.ports.backends import Backend
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.backends import call

RATES = TokenRates(text_in=5_000, image_in=8_000, image_out=30_000)
DAY = date(2026, 11, 20)
SMALL = Size(816, 816)


def price(**basis: Any) -> Price:
    return Price(version="v", effective=DAY, source="s", read_on=DAY, **basis)


BY_TOKEN = price(rates=RATES, tokens=Tokens(grid={"low": 16, "medium": 48}))
PRICE_PER_IMAGE = price(per_image=53_000_000)


class Held:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.body)


class Clock:
    """Notes how long it was asked to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def order(paid: Price = BY_TOKEN, **fields: Any) -> UpstreamRequest:
    spec_fields: dict[str, Any] = {
        "operation": Operation.GENERATE,
        "model": "gpt-image-2",
        "prompt": "A fox",
        "size": SMALL,
    }
    route = Route(
        backend="sandbox", model="gpt-image-2", carries=frozenset(), formats=frozenset({"png"}), prices=(paid,)
    )
    return UpstreamRequest(spec=Spec(**(spec_fields | fields)), route=route, price=paid, request_id="r1")


def red() -> Reference:
    body = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(body, "png")
    return Reference(param="image", digest="red", media_type="image/png", content=Held(body.getvalue()))


async def generate(placed: UpstreamRequest, **settings: Any) -> Generation:
    backend: Backend = SandboxBackend(SandboxSettings(**settings))
    outcome = await call(backend, placed)
    assert isinstance(outcome, Generation)
    return outcome


async def failed(placed: UpstreamRequest, **settings: Any) -> Failure:
    outcome = await call(SandboxBackend(SandboxSettings(**settings)), placed)
    assert isinstance(outcome, Failure)
    return outcome


def test_it_has_to_see_the_pictures() -> None:
    assert SandboxBackend(SandboxSettings()).accepts_links is False


async def test_it_delivers_n_different_pictures_that_open() -> None:
    purchase = await generate(order(n=3))
    bodies = [pybase64.b64decode(generated_image.base64, validate=True) for generated_image in purchase.images]
    assert len(set(bodies)) == 3
    for body in bodies:
        with Image.open(io.BytesIO(body)) as image:
            assert (image.format, image.size) == ("PNG", (816, 816))


async def test_it_says_what_it_drew() -> None:
    purchase = await generate(order())
    assert (purchase.size, purchase.tier, purchase.background) == (SMALL, "medium", "opaque")
    assert (purchase.output_format, purchase.created, purchase.svg_usage) == ("png", None, None)
    clear = await generate(order(background="transparent", output_format="webp", tier="low", size=None))
    assert (clear.size, clear.tier, clear.background) == (Size(1024, 1024), "low", "transparent")
    assert clear.output_format == "webp"


async def test_each_call_draws_another_sample_unless_it_names_a_seed() -> None:
    free = [(await generate(order())).images[0].base64 for _ in range(3)]
    seeded = [(await generate(order(seed=seed))).images[0].base64 for seed in (2, 2, 3)]
    assert len({*free, *seeded}) == 5
    assert seeded[0] == seeded[1]


async def test_the_number_of_a_sample_is_on_the_picture() -> None:
    backend = SandboxBackend(SandboxSettings(), sample=lambda: "3fa2c1")
    drawn = await call(backend, order(output_format="svg"))
    assert isinstance(drawn, Generation)
    assert b"sample 3fa2c1" in pybase64.b64decode(drawn.images[0].base64)


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({}, Usage(text_in=2, image_out=1536)),
        ({"prompt": "x", "tier": "low"}, Usage(text_in=1, image_out=171)),
        ({"prompt": "x" * 160, "size": None}, Usage(text_in=40, image_out=1756)),
        ({"n": 2}, Usage(text_in=4, image_out=3072)),
    ],
)
async def test_usage_follows_the_vendors_formula(fields: dict[str, Any], usage: Usage) -> None:
    assert (await generate(order(**fields))).usage == usage


async def test_an_edit_counts_the_pictures_that_came_in() -> None:
    purchase = await generate(order(operation=Operation.EDIT, references=(red(), red()), n=2))
    assert purchase.usage == Usage(text_in=4, image_in=5800, image_out=3072)


@pytest.mark.parametrize(
    ("paid", "tier"),
    [
        (PRICE_PER_IMAGE, None),
        (price(rates=RATES, tokens=Tokens(table={"medium": {Size(1024, 1024): 1056}})), None),
    ],
)
async def test_where_tokens_are_not_known_none_are_counted(paid: Price, tier: str | None) -> None:
    purchase = await generate(order(paid))
    assert (purchase.usage, purchase.tier) == (None, tier)
    assert (await generate(order(paid, tier="low"))).usage is None


KINDS = {
    "unknown_parameter": (FailureKind.INVALID_REQUEST, "unknown_parameter"),
    "invalid_value": (FailureKind.INVALID_REQUEST, "invalid_value"),
    "moderation_blocked": (FailureKind.MODERATION_BLOCKED, "moderation_blocked"),
    "content_policy_violation": (FailureKind.MODERATION_BLOCKED, "content_policy_violation"),
    "unsupported_file_mimetype": (FailureKind.INVALID_REQUEST, "unsupported_file_mimetype"),
    "invalid_api_key": (FailureKind.AUTH_FAILED, "invalid_api_key"),
    "organization_must_be_verified": (FailureKind.FORBIDDEN, None),
    "model_not_found": (FailureKind.MODEL_NOT_FOUND, "model_not_found"),
    "rate_limit_exceeded": (FailureKind.RATE_LIMITED, "rate_limit_exceeded"),
    "slow_down": (FailureKind.RATE_LIMITED, "slow_down"),
    "credit_balance_exhausted": (FailureKind.QUOTA_EXHAUSTED, "credit_balance_exhausted"),
    "organization_spend_limit_exceeded": (FailureKind.QUOTA_EXHAUSTED, "organization_spend_limit_exceeded"),
    "project_spend_limit_exceeded": (FailureKind.QUOTA_EXHAUSTED, "project_spend_limit_exceeded"),
    "organization_usage_limit_exceeded": (FailureKind.QUOTA_EXHAUSTED, "organization_usage_limit_exceeded"),
    "insufficient_quota": (FailureKind.QUOTA_EXHAUSTED, "insufficient_quota"),
    "billing_hard_limit_reached": (FailureKind.QUOTA_EXHAUSTED, "billing_hard_limit_reached"),
    "server_error": (FailureKind.SERVER_ERROR, "server_error"),
    "server_is_overloaded": (FailureKind.OVERLOADED, "server_is_overloaded"),
    "timeout": (FailureKind.TIMED_OUT, None),
    "connection_refused": (FailureKind.UNREACHABLE, None),
    "broken_reply": (FailureKind.BROKEN_REPLY, None),
}


@pytest.mark.parametrize("name", KINDS)
async def test_every_failure_is_read_as_the_vendors_own(name: str) -> None:
    failure = await failed(order(), fail=name)
    assert (failure.kind, failure.code) == KINDS[name]
    assert failure.message


def test_the_table_of_failures_is_complete() -> None:
    assert tuple(KINDS) == KNOWN_FAULTS == tuple(FAULTS)


def test_failures_carry_what_the_vendor_sends_along() -> None:
    assert named_failure("rate_limit_exceeded").retry_after == 12
    assert named_failure("unknown_parameter").param == "response_format"
    details = named_failure("moderation_blocked").moderation_details
    assert details == {"moderation_stage": "input", "categories": ["violence"]}
    assert "org-" not in named_failure("rate_limit_exceeded").message


@pytest.mark.parametrize("fail", [None, "slow_down"])
async def test_it_waits_before_it_answers(fail: str | None) -> None:
    clock = Clock()
    backend = SandboxBackend(SandboxSettings(delay_seconds=2.5, fail=fail), clock)
    outcome = await call(backend, order())
    assert isinstance(outcome, Generation if fail is None else Failure)
    assert clock.slept == [2.5]


@pytest.mark.parametrize("delay", [-1, nan, 601])
def test_an_absurd_delay_stops_the_start(delay: float) -> None:
    with pytest.raises(ValueError, match="0 to 600 seconds"):
        SandboxSettings(delay_seconds=delay)


def test_an_unknown_failure_stops_the_start() -> None:
    with pytest.raises(ValueError, match=r"'oops'.*unknown_parameter, invalid_value.*broken_reply"):
        SandboxSettings(fail="oops")


async def test_directives_count_for_one_request_where_they_are_allowed() -> None:
    clock = Clock()
    backend = SandboxBackend(SandboxSettings(delay_seconds=1, prompt_directives=True), clock)
    outcome = await call(backend, order(prompt="A fox [sandbox delay=2.5] at [sandbox fail=server_error] night"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.SERVER_ERROR
    assert isinstance(await call(backend, order()), Generation)
    assert clock.slept == [2.5, 1]


async def test_directives_are_mere_words_where_they_are_not_allowed() -> None:
    assert len((await generate(order(prompt="[sandbox fail=server_error]"))).images) == 1


@pytest.mark.parametrize(
    ("directive", "named"),
    [
        ("fail=oops", "'oops'"),
        ("fail=", "''"),
        ("delay=soon", "'soon'"),
        ("delay=nan", "'nan'"),
        ("delay=9999", "9999"),
        ("colour=red", "'colour'"),
    ],
)
async def test_a_directive_that_cannot_be_followed_is_named(directive: str, named: str) -> None:
    failure = await failed(order(prompt=f"A fox [sandbox {directive}]"), prompt_directives=True)
    assert (failure.kind, failure.param) == (FailureKind.INVALID_REQUEST, "prompt")
    assert named in failure.message


async def test_a_broken_picture_is_the_callers_fault() -> None:
    broken = Reference(param="image[1]", digest="x", content=Held(b"\x89PNG\r\n\x1a\n"))
    failure = await failed(order(operation=Operation.EDIT, references=(red(), broken)))
    assert (failure.kind, failure.param, failure.code) == (FailureKind.INVALID_REQUEST, "image[1]", "invalid_image")
