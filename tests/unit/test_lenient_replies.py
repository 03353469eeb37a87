"""Replies that are not as documented: the picture is delivered, and no less is booked than could have been billed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.backends.dialect import Dialect
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.together import TogetherDialect
from service.domain.errors import Failure, FailureKind
from service.domain.generation import Generation, Preview, Usage
from service.domain.image_spec import Size
from service.domain.ledger import Basis
from service.domain.pricing import TokenRates, Tokens
from service.domain.quotes import Charge, cost
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.builders import edit, model, price, route, spec

BASE64 = "iVBORw0KGgoAAAANSUhEUg"
RATES = TokenRates(text_in=5_000, image_in=8_000, image_out=30_000, text_cached=1_250, image_cached=2_000)
PRICE = price(rates=RATES, tokens=Tokens(grid={"low": 16, "medium": 48, "high": 96}), per_image=None)
ORDER = UpstreamRequest(spec=spec(tier="low", size=Size(1024, 1024)), route=route(), price=PRICE, request_id="req_1")
LOW = 196 * 30_000
"""A picture of tier low at 1024x1024, in nano-USD."""

WHOLE = {
    "input_tokens": 10,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    "output_tokens": 196,
    "total_tokens": 206,
}
MEMBERS = ("created", "size", "quality", "background", "output_format", "usage", "svg_usage", "id", "timings")


def read(body: object, dialect: Dialect | None = None) -> Generation:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    outcome = (dialect or OpenAIDialect()).read(ORDER, bytearray(text))
    assert isinstance(outcome, Generation), outcome
    return outcome


def charge(purchase: Generation) -> Charge:
    return cost(ORDER.spec, model(), ORDER.route, PRICE, purchase)


def booked(usage: object) -> Charge:
    return charge(read({"data": [{"b64_json": BASE64}], "size": "1024x1024", "usage": usage}))


ESTIMATE = booked(None).nano


@pytest.mark.parametrize(
    "usage",
    [
        {},
        None,
        [],
        "206",
        206,
        True,
        {"input_tokens": None, "output_tokens": None},
        {"input_tokens": "many", "output_tokens": "few"},
        {"input_tokens": -10, "output_tokens": -196},
        {"input_tokens": 10},
        {"total_tokens": 20},
        {"input_tokens": 10, "output_tokens": 10**30},
        {"input_tokens": 10, "output_tokens": True},
        {"input_tokens": 10, "output_tokens": 0},
        {"input_tokens": 10, "output_tokens": 1, "output_tokens_details": [1]},
    ],
)
def test_a_count_that_says_nothing_is_an_estimate(usage: object) -> None:
    assert ESTIMATE > LOW
    assert booked(usage) == Charge(nano=ESTIMATE, basis=Basis.ESTIMATED)


@pytest.mark.parametrize(
    "usage",
    [
        WHOLE,
        {"prompt_tokens": 10, "completion_tokens": 196, "total_tokens": 206},
        {"input_tokens": 10.0, "output_tokens": 195.5},
        {"input_tokens": "10", "output_tokens": "196.0"},
        {"input_tokens": 10, "total_tokens": 206},
        {"output_tokens": 196, "total_tokens": 206},
        {"input_tokens_details": {"text_tokens": 10}, "output_tokens_details": {"image_tokens": 196}},
        {**WHOLE, "total_tokens": "?"} | {"total_tokens": None},
        {**WHOLE, "cost": {"usd": None}, "by": [1, 2]},
    ],
)
def test_a_count_in_other_words_is_a_count(usage: object) -> None:
    assert booked(usage) == Charge(nano=10 * 5_000 + LOW, basis=Basis.USAGE)


@pytest.mark.parametrize(
    ("usage", "least"),
    [
        ({"total_tokens": 5_000}, 5_000 * 30_000),
        ({"output_tokens": 5_000}, 5_000 * 30_000),
        ({"input_tokens": 50_000}, 50_000 * 5_000),
        ({"input_tokens": 10, "output_tokens": 196, "total_tokens": 5_206}, 10 * 5_000 + 5_196 * 30_000),
        ({"input_tokens": -1, "output_tokens": 5_000}, 5_000 * 30_000),
        ({"output_tokens": 5_000, "input_tokens_details": "?"}, 5_000 * 30_000),
    ],
)
def test_of_half_a_count_no_token_is_forgotten(usage: object, least: int) -> None:
    assert booked(usage) == Charge(nano=least, basis=Basis.ESTIMATED)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["auto", "1x1", "png", "low"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TOKENS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("input_tokens", "output_tokens", "total_tokens", "prompt_tokens", "completion_tokens", "cached_tokens"),
        JSON | st.integers(0, 5_000),
    )
    | dict.fromkeys(
        ("input_tokens_details", "output_tokens_details", "cached_tokens_details", "prompt_tokens_details"),
        JSON | st.dictionaries(st.sampled_from(["text_tokens", "image_tokens"]), JSON | st.integers(0, 5_000)),
    ),
)
ODD = st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, JSON) | {"usage": JSON | TOKENS})
ITEMS = st.fixed_dictionaries({}, optional={"revised_prompt": JSON, "url": JSON, "index": JSON, "type": JSON})


@given(ODD, ITEMS, JSON)
def test_no_member_costs_the_picture(members: dict[str, Any], item: dict[str, Any], unknown: object) -> None:
    body = {**members, "extra": unknown, "data": [{**item, "b64_json": BASE64, "more": unknown}]}
    purchase = read(body)
    is_sound(purchase)
    read(body, TogetherDialect())


def is_sound(purchase: Generation) -> None:
    """The picture is there, everything has its type and can be written, and the money is no less than it can be."""
    assert [bytes(image.base64) for image in purchase.images] == [BASE64.encode()]
    texts = (purchase.tier, purchase.background, purchase.output_format, purchase.images[0].revised_prompt)
    assert all(text is None or isinstance(text, str) for text in texts)
    msgspec.json.encode((purchase.created, texts, purchase.svg_usage, purchase.usage))
    outcome = charge(purchase)
    if purchase.usage and outcome.basis is Basis.USAGE:
        assert outcome.nano >= min(RATES.text_cached, RATES.image_cached) * purchase.usage.tokens_in
        assert outcome.nano >= purchase.usage.image_out * RATES.image_out
    else:
        assert outcome.basis is Basis.ESTIMATED
        assert outcome.nano >= LOW


@given(ODD, JSON)
def test_nor_in_a_stream(members: dict[str, Any], unknown: object) -> None:
    shown = {**members, "created_at": unknown, "partial_image_index": unknown, "b64_json": BASE64}
    preview = json.dumps({**shown, "type": "image_generation.partial_image"}).encode()
    outcome = OpenAIDialect().read_event(ORDER, bytearray(preview))
    assert isinstance(outcome, Preview)
    assert (bytes(outcome.base64), outcome.index >= 0) == (BASE64.encode(), True)
    done = json.dumps({**shown, "type": "image_generation.completed", "more": unknown}).encode()
    drawn = OpenAIDialect().read_event(ORDER, bytearray(done))
    assert isinstance(drawn, Generation), drawn
    is_sound(drawn)


@pytest.mark.parametrize("dialect", [OpenAIDialect(), TogetherDialect()])
@pytest.mark.parametrize(
    "token",
    [
        f'"data:image/png;base64,{BASE64}"',
        f'"DATA:image/png;charset=utf-8;BASE64,{BASE64}"',
        f'"data:image/png;base64,{BASE64[:8]}\\n{BASE64[8:]}"',
        f'"{BASE64[:8]}\\r\\n{BASE64[8:]}\\n"',
        f'"{BASE64[:8]}\n{BASE64[8:]}"',
        f'"{BASE64[:8]} {BASE64[8:]}"',
        f'" {BASE64}\n"',
        '"' + "".join(f"\\u00{ord(letter):02x}" for letter in BASE64) + '"',
    ],
)
def test_base64_is_found_however_it_is_wrapped(token: str, dialect: Dialect) -> None:
    purchase = read(f'{{"data":[{{"b64_json":{token}}}]}}'.encode(), dialect)
    assert [bytes(image.base64) for image in purchase.images] == [BASE64.encode()]


@pytest.mark.parametrize(
    "odd",
    [
        b'"usage":NaN',
        b'"usage":{"input_tokens":-Infinity,"output_tokens":1e999}',
        b'"created":1e999',
        b'"created":123456789012345678901234567890',
        rb'"note":"\ud800"',
        b'"note":"\xff"',
        b'"size":[1024,1024]',
    ],
)
@pytest.mark.parametrize("dialect", [OpenAIDialect(), TogetherDialect()])
def test_json_that_only_lenient_encoders_write_is_read(odd: bytes, dialect: Dialect) -> None:
    for start in (b"", b"\xef\xbb\xbf"):
        body = start + b'{%s,"data":[{"b64_json":"%s","revised_prompt":"\\ud800 fox"}]}' % (odd, BASE64.encode())
        (image,) = read(body, dialect).images
        assert bytes(image.base64) == BASE64.encode()
        assert msgspec.json.encode(image.revised_prompt) == b'"? fox"'


@pytest.mark.parametrize("dialect", [OpenAIDialect(), TogetherDialect()])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":[]}',
        b'{"data":[null,{},{"b64_json":null},{"b64_json":""},{"b64_json":7},"AAAA",[],1.5]}',
        b'{"data":[{"b64_json":"data:image/png;base64,"}]}',
        b'{"data":[{"b64_json":"data:,AAAA"}]}',
        b'{"data":[{"b64_json":"\\"AAAA"}]}',
        b'{"data":[{"b64_json":"AAAA',
        b"[" * 100_000,
    ],
)
def test_without_a_picture_a_reply_is_broken(body: bytes, dialect: Dialect) -> None:
    outcome = dialect.read(ORDER, bytearray(body))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.may_be_billed) == (FailureKind.BROKEN_REPLY, True)


@pytest.mark.parametrize("dialect", [OpenAIDialect(), TogetherDialect()])
@pytest.mark.parametrize("odd", [None, {}, {"b64_json": None}, "AAAA", 7, []])
def test_a_picture_beside_something_unreadable_is_delivered_and_both_are_booked(odd: object, dialect: Dialect) -> None:
    outcome = read({"data": [odd, {"b64_json": BASE64}]}, dialect)
    assert (len(outcome.images), outcome.unreadable_images) == (1, 1)
    two = cost(spec(n=2, tier="low", size=Size(1024, 1024)), model(), route(), PRICE, outcome)
    assert (two.nano, two.basis) == (2 * ESTIMATE, Basis.ESTIMATED)


@pytest.mark.parametrize("size", ["1x1", "999999x999999"])
def test_a_size_that_cannot_be_is_not_what_is_booked(size: str) -> None:
    assert charge(read({"data": [{"b64_json": BASE64}], "size": size})).nano == ESTIMATE


def test_tokens_of_no_kind_are_kept_apart() -> None:
    usage = {"input_tokens": 1_510, "input_tokens_details": {"text_tokens": 10}, "output_tokens": 196}
    outcome = read({"data": [{"b64_json": BASE64}], "usage": usage}).usage
    assert outcome == Usage(text_in=10, other_in=1_500, image_out=196)


def test_tokens_that_details_leave_out_are_booked_at_the_dearer_rate() -> None:
    usage = {
        "input_tokens": 1_510,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
        "output_tokens": 196,
    }
    assert booked(usage) == Charge(nano=10 * 5_000 + 1_500 * 8_000 + LOW, basis=Basis.USAGE)


def test_without_kinds_what_no_prompt_can_be_is_booked_as_pictures() -> None:
    usage = {"input_tokens": 1_510, "output_tokens": 196}
    most = len("a red fox") + 2 * 64  # the prompt in bytes, and what may stand around it and around the picture
    outcome = cost(edit(tier="low"), model(), route(), PRICE, read({"data": [{"b64_json": BASE64}], "usage": usage}))
    assert outcome == Charge(nano=most * 5_000 + (1_510 - most) * 8_000 + LOW, basis=Basis.USAGE)


def test_the_ordinary_picture_is_passed_on_by_reference() -> None:
    body = bytearray(json.dumps({"data": [{"b64_json": BASE64 * 1000}]}).encode())
    outcome = OpenAIDialect().read(ORDER, body)
    assert isinstance(outcome, Generation)
    base64 = outcome.images[0].base64
    assert isinstance(base64, memoryview)
    assert base64.obj is body
