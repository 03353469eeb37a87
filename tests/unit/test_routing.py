"""Candidates for a request, their plans, and the step after a failure."""

from collections.abc import Collection
from datetime import date

import pytest

from service.domain.catalog import Model, Route, SizeRule
from service.domain.errors import (
    MAY_BE_BILLED,
    FailureKind,
    InvalidValue,
    ModelNotFound,
    UnknownParameter,
)
from service.domain.image_spec import REQUIRED_FEATURES, Size, Spec
from service.domain.routing import (
    SANDBOX,
    STEP_AFTER,
    NextStep,
    Plan,
    Transcode,
    build_plan,
    find_candidates,
    find_unsupported,
    require_plans,
    step_after,
    upstream_specs,
)
from tests.fakes.builders import TODAY, edit, failure, model, price, route, spec, upload

ALPHA, BETA = route(backend="alpha"), route(backend="beta")
BOX = route(backend=SANDBOX)
EVERYWHERE = model(routes=(ALPHA, BETA, BOX))


def chosen(request_spec: Spec, asked: Model, on: Collection[str], today: date) -> tuple[Plan, ...]:
    return require_plans(request_spec, asked, find_candidates(request_spec, asked, on, today))


def plan_backends(plans: tuple[Plan, ...]) -> list[str]:
    return [item.route.backend for item in plans]


@pytest.mark.parametrize(
    ("on", "candidates"),
    [
        ({"alpha", "beta", SANDBOX}, ["alpha", "beta"]),
        ({"alpha", SANDBOX}, ["alpha"]),
        ({"beta", SANDBOX}, ["beta"]),
        ({"beta", "alpha"}, ["alpha", "beta"]),
        ({SANDBOX}, [SANDBOX]),
        ({SANDBOX, "gamma"}, [SANDBOX]),
    ],
)
def test_real_backends_come_in_the_order_of_the_catalog_and_the_sandbox_only_alone(
    on: set[str], candidates: list[str]
) -> None:
    assert plan_backends(chosen(spec(), EVERYWHERE, on, TODAY)) == candidates


def test_the_sandbox_does_not_stand_in_for_a_real_backend_that_refuses() -> None:
    unable = model(routes=(route(carries=frozenset()), BOX))

    with pytest.raises(InvalidValue) as refused:
        chosen(spec(tier="low"), unable, {"alpha", SANDBOX}, TODAY)

    assert (refused.value.param, refused.value.message) == ("quality", "quality is not supported by provider alpha.")


@pytest.mark.parametrize("on", [set(), {"gamma"}])
def test_without_a_backend_the_model_is_not_found(on: set[str]) -> None:
    with pytest.raises(ModelNotFound, match="No backend that is switched on serves the model 'painter'") as refused:
        chosen(spec(), EVERYWHERE, on, TODAY)

    assert refused.value.param == "model"


def test_a_route_without_a_price_in_effect_is_not_there() -> None:
    tomorrow = route(backend="alpha", prices=(price(effective=date(2026, 11, 22)),))
    catalogued = model(routes=(tomorrow, BETA, BOX))

    assert plan_backends(chosen(spec(), catalogued, {"alpha", "beta"}, TODAY)) == ["beta"]
    assert plan_backends(chosen(spec(), catalogued, {"alpha", "beta"}, date(2026, 11, 22))) == ["alpha", "beta"]
    assert plan_backends(chosen(spec(), catalogued, {"alpha", SANDBOX}, TODAY)) == [SANDBOX]
    with pytest.raises(ModelNotFound):
        chosen(spec(), catalogued, {"alpha"}, TODAY)


def test_a_plan_has_the_price_of_the_day() -> None:
    old, new = price(version="old"), price(version="new", effective=date(2026, 11, 22))
    repriced = model(routes=(route(prices=(old, new)),))

    assert [item.price for item in chosen(spec(), repriced, {"alpha"}, TODAY)] == [old]
    assert [item.price for item in chosen(spec(), repriced, {"alpha"}, date(2026, 11, 22))] == [new]


def test_backends_that_cannot_honour_all_of_it_are_passed_over() -> None:
    mixed = model(routes=(route(backend="alpha", carries=frozenset()), BETA))

    assert plan_backends(chosen(spec(tier="low"), mixed, {"alpha", "beta"}, TODAY)) == ["beta"]


def test_without_a_candidate_the_first_refusal_is_reported() -> None:
    unable = model(
        routes=(route(backend="alpha", carries=frozenset()), route(backend="beta", formats=frozenset({"gif"})))
    )

    with pytest.raises(UnknownParameter, match=r"'seed'.*provider alpha"):
        chosen(spec(seed=1), unable, {"alpha", "beta"}, TODAY)


@pytest.mark.parametrize("name", sorted(REQUIRED_FEATURES.keys() - {"output_compression"}))
def test_each_field_that_a_route_does_not_carry_is_refused_by_name(name: str) -> None:
    wishes: dict[str, Spec] = {
        "quality": spec(tier="low"),
        "background": spec(background="transparent"),
        "moderation": spec(moderation="low"),
        "complexity": spec(complexity="low"),
        "frame_count": spec(frame_count=2),
        "frame_duration_ms": spec(frame_duration_ms=100),
        "svg": spec(svg={}),
        "input_fidelity": spec(input_fidelity="low"),
        "image": edit(),
        "reference_images": spec(references=(upload(),)),
        "mask": spec(mask=upload(b"", "mask")),
        "markup": spec(markup=upload(b"", "markup")),
        "seed": spec(seed=0),
        "steps": spec(steps=1),
        "guidance_scale": spec(guidance_scale=1.0),
        "negative_prompt": spec(negative_prompt="rain"),
        "image_loras": spec(image_loras=({"path": "x"},)),
        "disable_safety_checker": spec(disable_safety_checker=True),
    }

    refused = find_unsupported(wishes[name], route(carries=frozenset(REQUIRED_FEATURES) - {name}))

    assert refused is not None
    assert refused.param == name
    assert "not supported by provider alpha." in refused.message
    assert find_unsupported(wishes[name], route()) is None


@pytest.mark.parametrize(
    ("request_spec", "able", "param", "message"),
    [
        (
            spec(output_format="svg"),
            route(formats=frozenset({"png", "jpeg", "webp", "gif"})),
            "output_format",
            "output_format is not supported by provider alpha with the value 'svg'.",
        ),
        (
            spec(),
            route(formats=frozenset({"jpeg"})),
            "output_format",
            "output_format is not supported by provider alpha with the value 'png'.",
        ),
        (
            spec(output_format="webp"),
            route(formats=frozenset({"jpeg"})),
            "output_format",
            "output_format is not supported by provider alpha with the value 'webp'.",
        ),
        (
            spec(output_format="jpeg", output_compression=50),
            route(formats=frozenset({"jpeg"}), carries=frozenset()),
            "output_compression",
            "output_compression is not supported by provider alpha.",
        ),
        (
            edit(upload(b"1"), upload(b"2")),
            route(max_references=1),
            "image",
            "At most 1 pictures can be given; got 2 with provider alpha.",
        ),
        (
            spec(size=Size(1928, 1024)),
            route(sizes=SizeRule(max_edge=1920)),
            "size",
            "The longest edge must be less than or equal to 1920 with provider alpha.",
        ),
    ],
)
def test_what_a_route_cannot_do_is_refused_with_its_name(
    request_spec: Spec, able: Route, param: str, message: str
) -> None:
    refused = find_unsupported(request_spec, able)

    assert isinstance(refused, InvalidValue)
    assert (refused.param, refused.code, refused.message) == (param, "invalid_value", message)


@pytest.mark.parametrize(
    ("request_spec", "able"),
    [
        (spec(), route(sizes=SizeRule(max_edge=1))),
        (spec(size=Size(1920, 1088)), route(sizes=SizeRule(max_edge=1920))),
        (spec(size=Size(9999, 9999)), route()),
        (edit(upload(b"1")), route(max_references=1)),
        (spec(output_format="jpeg", output_compression=0), route(carries=frozenset(), formats=frozenset({"png"}))),
    ],
)
def test_what_a_route_can_do_by_itself_or_with_help_is_not_refused(request_spec: Spec, able: Route) -> None:
    assert find_unsupported(request_spec, able) is None


PLAIN = route(carries=frozenset(), formats=frozenset({"png", "jpeg"}))
NATIVE = route(carries=frozenset({"output_compression"}), formats=frozenset({"png", "jpeg", "webp"}))


@pytest.mark.parametrize(
    ("request_spec", "able", "transcode"),
    [
        (spec(), PLAIN, None),
        (spec(output_format="jpeg"), PLAIN, None),
        (spec(output_format="jpeg", output_compression=70), PLAIN, ("jpeg", 70)),
        (spec(output_format="jpeg", output_compression=0), PLAIN, ("jpeg", 0)),
        (spec(output_format="webp"), PLAIN, ("webp", 100)),
        (spec(output_format="webp", output_compression=30), PLAIN, ("webp", 30)),
        (spec(output_format="webp"), NATIVE, None),
        (spec(output_format="webp", output_compression=30), NATIVE, None),
        (spec(output_format="jpeg", output_compression=0), NATIVE, None),
    ],
)
def test_the_gateway_transcodes_only_what_the_route_cannot(
    request_spec: Spec, able: Route, transcode: tuple[str, int] | None
) -> None:
    cent = price()
    expected = Transcode(output_format=transcode[0], quality=transcode[1]) if transcode else None

    assert build_plan(request_spec, able, cent) == Plan(route=able, price=cent, transcode=expected)


def test_what_is_transcoded_here_is_asked_for_as_plain_png() -> None:
    request_spec = spec(output_format="webp", output_compression=30, background="transparent")

    (order,) = upstream_specs(request_spec, build_plan(request_spec, PLAIN, price()))

    assert order == spec(output_format="png", output_compression=None, background="transparent")


def test_what_is_not_transcoded_is_asked_for_as_it_is() -> None:
    request_spec = spec(output_format="webp", output_compression=30, tier="low", seed=1)

    assert upstream_specs(request_spec, build_plan(request_spec, NATIVE, price())) == (request_spec,)


@pytest.mark.parametrize(
    ("requested_images", "at_once", "counts"),
    [
        (1, 10, [1]),
        (10, 10, [10]),
        (4, 4, [4]),
        (5, 4, [4, 1]),
        (8, 4, [4, 4]),
        (10, 4, [4, 4, 2]),
        (10, 3, [3, 3, 3, 1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_more_than_a_route_draws_at_a_time_is_split(requested_images: int, at_once: int, counts: list[int]) -> None:
    request_spec = spec(n=requested_images, tier="low")

    placed = upstream_specs(request_spec, build_plan(request_spec, route(max_n=at_once), price()))

    assert [order.n for order in placed] == counts
    assert all(order.tier == "low" for order in placed)


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_has_a_decision(kind: FailureKind) -> None:
    assert step_after(failure(kind)) is STEP_AFTER[kind]


def test_the_table_of_decisions_holds_nothing_else() -> None:
    assert set(STEP_AFTER) == set(FailureKind)


@pytest.mark.parametrize("kind", sorted(MAY_BE_BILLED))
def test_what_may_have_been_billed_is_never_bought_elsewhere(kind: FailureKind) -> None:
    assert step_after(failure(kind)) is NextStep.GIVE_UP


@pytest.mark.parametrize("kind", [FailureKind.INVALID_REQUEST, FailureKind.MODERATION_BLOCKED])
def test_what_is_wrong_with_the_request_is_wrong_everywhere(kind: FailureKind) -> None:
    assert step_after(failure(kind)) is NextStep.GIVE_UP


def test_everything_else_is_tried_at_the_next_backend() -> None:
    onwards = {kind for kind in FailureKind if step_after(failure(kind)) is not NextStep.GIVE_UP}

    assert onwards == set(FailureKind) - MAY_BE_BILLED - {
        FailureKind.INVALID_REQUEST,
        FailureKind.MODERATION_BLOCKED,
    }
