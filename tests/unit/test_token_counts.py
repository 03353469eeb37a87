"""OpenAI's token counts, in every form that a reply may have."""

from typing import Any

import msgspec
import pytest

from service.adapters.backends.openai import OpenAIDialect
from service.domain.generation import Generation, Usage
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.builders import price, route, spec


@pytest.mark.parametrize(
    ("more", "cached"),
    [
        ({}, (0, 0)),
        ({"cached_tokens": None, "cached_tokens_details": None}, (0, 0)),
        ({"cached_tokens_details": {"cached_text_tokens": 7, "cached_image_tokens": 9}}, (7, 9)),
        ({"cached_tokens": 16, "cached_tokens_details": {"cached_text_tokens": 7, "cached_image_tokens": 9}}, (7, 9)),
        ({"cached_tokens": 8}, (8, 0)),
        ({"cached_tokens": 25}, (10, 15)),
        ({"input_tokens_details": {"text_tokens": 10, "image_tokens": 20, "cached_tokens": 12}}, (10, 2)),
        ({"input_tokens_details": {"text_tokens": 10, "image_tokens": 20, "cached_tokens": None}}, (0, 0)),
        ({"input_tokens_details": None, "cached_tokens": 12}, (12, 0)),
    ],
)
def test_cached_tokens_are_read_wherever_the_vendor_says_them(more: dict[str, Any], cached: tuple[int, int]) -> None:
    usage = read_usage({"input_tokens_details": {"text_tokens": 10, "image_tokens": 20}, **more})

    assert usage is not None
    assert (usage.text_cached, usage.image_cached) == cached


@pytest.mark.parametrize(
    "nonsense",
    [
        {"input_tokens": -30},
        {"output_tokens": -1},
        {"output_tokens_details": {"text_tokens": 6, "image_tokens": 0}},
        {"input_tokens_details": {"text_tokens": -10, "image_tokens": 40}},
        {"cached_tokens": -1},
    ],
)
def test_a_count_below_zero_is_no_count_and_the_picture_is_kept(nonsense: dict[str, Any]) -> None:
    assert read_usage(nonsense) is None


def read_usage(usage: dict[str, Any]) -> Usage | None:
    body = {"data": [{"b64_json": "Zm94"}], "usage": {"input_tokens": 30, "output_tokens": 5, **usage}}
    order = UpstreamRequest(spec=spec(), route=route(), price=price(), request_id="req_1")
    outcome = OpenAIDialect().read(order, bytearray(msgspec.json.encode(body)))
    assert isinstance(outcome, Generation)
    return outcome.usage
