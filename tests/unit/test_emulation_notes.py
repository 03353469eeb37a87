"""Notes about emulations: each kind, and no note without an emulation."""

from typing import Any

import pytest

from service.domain.catalog import Route, SizeAs
from service.domain.emulation_notes import NOTES, ServedRequest, build_notes, expect_served
from service.domain.image_spec import Spec
from service.domain.routing import Transcode, build_plan
from tests.fakes.builders import SQUARE, price, route, spec

ABLE = route()
PNG = route(formats=frozenset({"png"}), carries=frozenset())
MEDIUM = route(carries=frozenset(), delivers="medium")
RATIO = route(size_as=SizeAs.ASPECT_RATIO)
FOUR = route(max_n=4)
WEBP = Transcode(output_format="webp", quality=100)


def served(request_spec: Spec, along: Route, **changes: Any) -> ServedRequest:
    going = build_plan(request_spec, along, price())
    return ServedRequest(
        **{
            "spec": request_spec,
            "plan": going,
            "transcode": None,
            "requested_previews": 0,
            "shown_previews": 0,
            **changes,
        }
    )


ROWS = [
    ("transcoded", served(spec(), ABLE, transcode=WEBP), "transcoded=webp"),
    ("transcoded", served(spec(), ABLE), None),
    ("partials", served(spec(), ABLE, requested_previews=2), "partials=none"),
    ("partials", served(spec(), ABLE, requested_previews=2, shown_previews=1), None),
    ("partials", served(spec(), ABLE), None),
    ("tier", served(spec(tier="medium"), MEDIUM), "tier=medium by route"),
    ("tier", served(spec(), MEDIUM), None),
    ("tier", served(spec(tier="medium"), ABLE), None),
    ("tier", served(spec(), ABLE), None),
    ("size", served(spec(size=SQUARE), RATIO), "size=1:1 by ratio"),
    ("size", served(spec(), RATIO), None),
    ("size", served(spec(size=SQUARE), ABLE), None),
    ("n", served(spec(n=10), FOUR), "n=3 calls"),
    ("n", served(spec(n=5), FOUR), "n=2 calls"),
    ("n", served(spec(n=4), FOUR), None),
]


@pytest.mark.parametrize(("name", "case", "notes_text"), ROWS, ids=range(len(ROWS)))
def test_each_row_says_what_was_done_or_nothing(name: str, case: ServedRequest, notes_text: str | None) -> None:
    noted = build_notes(case)

    assert noted == ((notes_text,) if notes_text else ())
    assert notes_text is None or notes_text.startswith(f"{name}=")


def test_every_row_is_shown() -> None:
    assert {name for name, _, notes_text in ROWS if notes_text} == set(NOTES)
    assert {name for name, _, notes_text in ROWS if not notes_text} == set(NOTES)


def test_all_that_was_done_is_said_in_the_order_of_the_table() -> None:
    everything = route(carries=frozenset(), delivers="medium", size_as=SizeAs.ASPECT_RATIO, max_n=4)
    request_spec = spec(tier="medium", size=SQUARE, n=10, output_format="webp")

    noted = build_notes(served(request_spec, everything, transcode=WEBP, requested_previews=3))

    assert noted == ("transcoded=webp", "partials=none", "tier=medium by route", "size=1:1 by ratio", "n=3 calls")
    assert [row.partition("=")[0] for row in noted] == list(NOTES)


def test_what_is_expected_is_what_can_be_known_before() -> None:
    request_spec = spec(output_format="webp", n=1)

    assert build_notes(expect_served(request_spec, build_plan(request_spec, PNG, price()), 0)) == ("transcoded=webp",)
    assert build_notes(expect_served(request_spec, build_plan(request_spec, PNG, price()), 2)) == (
        "transcoded=webp",
        "partials=none",
    )
    assert build_notes(expect_served(request_spec, build_plan(request_spec, ABLE, price()), 2)) == ()
