"""Deliveries: what a response says about tokens, and what a replay of it needs."""

from dataclasses import replace

import pytest

from service.domain.generation import Usage
from service.domain.ledger import CacheStatus
from service.usecases.generate.delivery import FREE, Delivery, build_delivery, to_replay_result, without_tokens
from service.usecases.ports.result_store import Result
from tests.fakes.builders import build_generation, image_request, result, spec

SVG = {"model": "gpt-6", "input_tokens": 7, "details": {"reasoning_tokens": 5, "cached": True}}
RESULT = result(generation=replace(build_generation("fox"), usage=Usage(text_in=2, image_out=196), svg_usage=SVG))


def deliver(source: CacheStatus, result: Result = RESULT) -> Delivery:
    return Delivery(result=result, spec=spec(), source=source, cost=0, at=1, request_id="req_2")


@pytest.mark.parametrize("source", CacheStatus)
def test_only_a_result_that_was_bought_for_another_request_took_no_tokens(source: CacheStatus) -> None:
    shown = without_tokens(deliver(source)).result.generation

    assert shown.images is RESULT.generation.images
    if source in FREE:
        assert shown.usage == Usage()
        assert shown.svg_usage == {
            "model": "gpt-6",
            "input_tokens": 0,
            "details": {"reasoning_tokens": 0, "cached": True},
        }
    else:
        assert shown == RESULT.generation


def test_tokens_that_were_not_counted_stay_uncounted() -> None:
    uncounted = deliver(CacheStatus.HIT, replace(RESULT, generation=build_generation("fox")))

    assert without_tokens(uncounted) == uncounted


def test_the_delivery_of_a_purchase_is_dated_and_named_by_it() -> None:
    noted = replace(RESULT, notes=("n=2 calls",), stored_at=7_900_000)

    delivery = build_delivery(noted, image_request(source=CacheStatus.MISS))

    assert (delivery.at, delivery.cost, delivery.source, delivery.is_free) == (7, RESULT.cost, CacheStatus.MISS, False)
    assert (delivery.request_id, delivery.notes) == ("req_1", ("n=2 calls",))


def test_a_replay_has_the_id_and_the_time_of_the_first_response() -> None:
    answered = to_replay_result(replace(deliver(CacheStatus.HIT), at=9))

    assert (answered.request_id, answered.stored_at) == ("req_2", 9_000_000)
    assert answered == replace(RESULT, request_id="req_2", stored_at=9_000_000)
