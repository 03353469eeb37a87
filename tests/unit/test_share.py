"""What a caller is told of a purchase that was made for another."""

from dataclasses import replace

import pytest

from service.domain.ledger import Source
from service.domain.outcomes import Usage
from service.usecases.flights import Result
from service.usecases.share import FREE, Share, without_tokens
from tests.fakes.builders import purchase, spec

SVG = {"model": "gpt-6", "input_tokens": 7, "details": {"reasoning_tokens": 5, "cached": True}}
RESULT = Result(
    model="painter",
    backend="alpha",
    upstream_model="alpha/painter",
    price_version="cent@2026-01-01",
    purchase=replace(purchase("fox"), usage=Usage(text_in=2, image_out=196), svg_usage=SVG),
    created=1,
    cost=10,
    kept_at=1,
    ids=("img_1",),
    stored=False,
    request_id="req_1",
)


def share(source: Source, result: Result = RESULT) -> Share:
    return Share(result=result, spec=spec(), source=source, cost=0, at=1, request_id="req_2")


@pytest.mark.parametrize("source", Source)
def test_only_what_was_bought_for_another_took_no_tokens(source: Source) -> None:
    told = without_tokens(share(source)).result.purchase

    assert told.pictures is RESULT.purchase.pictures
    if source in FREE:
        assert told.usage == Usage()
        assert told.svg_usage == {
            "model": "gpt-6",
            "input_tokens": 0,
            "details": {"reasoning_tokens": 0, "cached": True},
        }
    else:
        assert told == RESULT.purchase


def test_what_was_not_counted_is_not_counted() -> None:
    uncounted = replace(RESULT, purchase=purchase("fox"))
    assert without_tokens(share(Source.HIT, uncounted)) == share(Source.HIT, uncounted)
