"""Models by name, the end of models, and what a model refuses."""

from datetime import date, timedelta

import pytest

from service.domain.catalog import Retired, SizeRule, check_spec, is_shut_down, too_many_references
from service.domain.errors import InvalidValue, ModelNotFound, RequestError, UnknownParameter
from service.domain.image_spec import EXTENSIONS, Size, Spec
from service.domain.request_labels import build_labels
from tests.fakes.builders import FREE, TODAY, catalog, edit, model, spec, upload

CLASSIC = SizeRule(choices=(Size(1024, 1024), Size(1536, 1024), Size(1024, 1536)))
EIGHTS = SizeRule(multiple_of=8, min_edge=256, max_edge=1920)
MULTIPLE = "must both be divisible by 16"
TOO_FEW = "below the current minimum pixel budget"
TOO_MANY = "above the current maximum pixel budget"
TOO_LONG = "The longest edge must be less than or equal to 3840."


@pytest.mark.parametrize(
    "text",
    [
        *("1024x1024", "1536x1024", "1024x1536", "2048x2048", "2048x1152", "3840x2160", "2160x3840"),
        *("1920x1088", "1280x720", "816x816", "1792x1024", "3840x1280", "1280x3840", "2880x2880", "1024x640"),
    ],
)
def test_a_free_size_within_the_rules_is_drawn(text: str) -> None:
    assert FREE.problem(Size.parse(text)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1920x1080", MULTIPLE),
        ("1080x1920", MULTIPLE),
        ("872x2048", MULTIPLE),
        ("512x512", TOO_FEW),
        ("256x256", TOO_FEW),
        ("800x800", TOO_FEW),
        ("1024x624", TOO_FEW),
        ("4096x4096", TOO_LONG),
        ("4096x2048", TOO_LONG),
        ("2048x4096", TOO_LONG),
        ("3856x2048", TOO_LONG),
        ("3840x2176", TOO_MANY),
        ("2896x2880", TOO_MANY),
        ("3840x1264", "at most 3 times the short edge"),
        ("1264x3840", "at most 3 times the short edge"),
    ],
)
def test_a_free_size_beyond_the_rules_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert reason in (FREE.problem(Size.parse(text)) or "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("872x2048", "Invalid size '872x2048'. Width and height must both be divisible by 16."),
        ("512x512", "Invalid size '512x512'. Requested resolution is below the current minimum pixel budget."),
        ("4096x2048", "The longest edge must be less than or equal to 3840."),
    ],
)
def test_the_vendors_own_words_are_used(text: str, words: str) -> None:
    assert FREE.problem(Size.parse(text)) == words


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("1024x1024", True),
        ("1536x1024", True),
        ("1024x1536", True),
        ("2048x2048", False),
        ("1024x1040", False),
        ("1536x1536", False),
    ],
)
def test_where_there_are_choices_nothing_else_is_drawn(text: str, drawn: bool) -> None:
    complaint = CLASSIC.problem(Size.parse(text))

    assert (complaint is None) == drawn
    assert drawn or complaint == (
        f"Invalid size '{text}'. Supported sizes are 1024x1024, 1536x1024, 1024x1536 and auto."
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("256x256", None),
        ("1920x1080", None),
        ("1920x256", None),
        ("248x1024", "The shortest edge must be at least 256."),
        ("1928x1024", "The longest edge must be less than or equal to 1920."),
        ("1020x1024", "Invalid size '1020x1024'. Width and height must both be divisible by 8."),
    ],
)
def test_edges_are_bounded_on_both_sides(text: str, reason: str | None) -> None:
    assert EIGHTS.problem(Size.parse(text)) == reason


ENDING = model(id="old", aliases=("elder",), shutdown_date=date(2026, 12, 1), successor="painter")
ORPHAN = model(id="orphan", shutdown_date=date(2026, 11, 1))
CATALOG = catalog(
    model(aliases=("vendor/painter",)),
    ENDING,
    ORPHAN,
    retired={"ancient": Retired(since=date(2026, 5, 12), successor="painter")},
)


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("painter", "painter"),
        ("vendor/painter", "painter"),
        (None, "painter"),
        ("", "painter"),
        ("old", "old"),
        ("elder", "old"),
    ],
)
def test_a_model_is_found_by_name_alias_or_default(name: str | None, model_id: str) -> None:
    assert CATALOG.get(name, TODAY).id == model_id


@pytest.mark.parametrize(
    ("name", "today", "message"),
    [
        ("nobody", TODAY, "The model 'nobody' does not exist. GET /v1/models lists the models on offer."),
        ("PAINTER", TODAY, "The model 'PAINTER' does not exist. GET /v1/models lists the models on offer."),
        ("ancient", TODAY, "The model 'ancient' was shut down on 2026-05-12. Use 'painter' instead."),
        ("old", date(2026, 12, 1), "The model 'old' was shut down on 2026-12-01. Use 'painter' instead."),
        ("elder", date(2027, 1, 1), "The model 'elder' was shut down on 2026-12-01. Use 'painter' instead."),
        ("orphan", TODAY, "The model 'orphan' was shut down on 2026-11-01."),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_what_is_known(name: str, today: date, message: str) -> None:
    with pytest.raises(ModelNotFound) as refused:
        CATALOG.get(name, today)

    assert (refused.value.message, refused.value.param) == (message, "model")


def test_an_absurdly_long_name_is_quoted_only_in_part() -> None:
    with pytest.raises(ModelNotFound) as refused:
        CATALOG.get("x" * 5000, TODAY)

    assert "x" * 80 in refused.value.message
    assert "x" * 81 not in refused.value.message


def test_a_model_serves_until_the_day_before_its_end() -> None:
    end = date(2026, 12, 1)

    assert not is_shut_down(ENDING, end - timedelta(days=1))
    assert is_shut_down(ENDING, end)
    assert not is_shut_down(model(), date.max)


def test_only_living_models_are_listed() -> None:
    assert [item.id for item in CATALOG.available(TODAY)] == ["painter", "old"]
    assert [item.id for item in CATALOG.available(date(2026, 12, 1))] == ["painter"]


POOR = model(
    sizes=CLASSIC,
    tiers=("low",),
    formats=("png", "jpeg"),
    fields=frozenset({"quality", "image", "reference_images", "input_fidelity", "output_compression"}),
    input_fidelity=("low",),
    max_n=4,
    max_references=1,
)


@pytest.mark.parametrize(
    ("request_spec", "param", "message"),
    [
        (spec(tier="max"), "quality", "Invalid value 'max' for quality. Model 'painter' supports low, auto."),
        (
            spec(output_format="webp"),
            "output_format",
            "Invalid value 'webp' for output_format. Model 'painter' supports png, jpeg.",
        ),
        (
            edit(input_fidelity="high"),
            "input_fidelity",
            "Invalid value 'high' for input_fidelity. Model 'painter' supports low.",
        ),
        (spec(n=0), "n", "n must be between 1 and 4."),
        (spec(n=5), "n", "n must be between 1 and 4."),
        (edit(upload(b"1"), upload(b"2")), "image", "At most 1 pictures can be given; got 2."),
        (
            spec(size=Size(512, 512)),
            "size",
            "Invalid size '512x512'. Supported sizes are 1024x1024, 1536x1024, 1024x1536 and auto.",
        ),
        (spec(moderation="low"), "moderation", "moderation is not supported by model 'painter'."),
        (
            spec(background="transparent"),
            "background",
            "Transparent background is not supported by model 'painter'.",
        ),
        (spec(output_compression=5), "output_compression", "output_compression needs output_format jpeg or webp."),
    ],
)
def test_a_model_refuses_what_it_lacks_by_name(request_spec: Spec, param: str, message: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_spec(request_spec, POOR)

    assert (refused.value.param, refused.value.code, refused.value.message) == (param, "invalid_value", message)


ASKING_MORE = {
    "seed": spec(seed=1),
    "steps": spec(steps=1),
    "guidance_scale": spec(guidance_scale=1.0),
    "negative_prompt": spec(negative_prompt="rain"),
    "image_loras": spec(image_loras=({"path": "x"},)),
    "disable_safety_checker": spec(disable_safety_checker=True),
    "reference_images": spec(references=(upload(),)),
}


@pytest.mark.parametrize("name", sorted(EXTENSIONS))
def test_other_vendors_fields_are_unknown_where_a_model_lacks_them(name: str) -> None:
    with pytest.raises(UnknownParameter) as refused:
        check_spec(ASKING_MORE[name], model(fields=frozenset()))

    assert refused.value.param == name
    assert refused.value.message == f"Unknown parameter: '{name}'. It is not supported by model 'painter'."


@pytest.mark.parametrize("request_spec", [spec(), *ASKING_MORE.values(), edit(mask=upload(b"m", "mask"))])
def test_a_model_that_lacks_nothing_refuses_nothing(request_spec: Spec) -> None:
    check_spec(request_spec, model())


@pytest.mark.parametrize(
    "request_spec",
    [
        spec(),
        spec(tier="low", n=4, size=Size(1536, 1024), output_format="jpeg", output_compression=5),
        edit(input_fidelity="low"),
        spec(background="opaque"),
    ],
)
def test_a_poor_model_does_what_it_can(request_spec: Spec) -> None:
    check_spec(request_spec, POOR)


def test_a_long_wrong_value_is_quoted_only_in_part() -> None:
    with pytest.raises(RequestError) as refused:
        check_spec(spec(tier="x" * 5000), POOR)

    assert len(refused.value.message) < 200


def test_pictures_are_counted_up_to_the_limit() -> None:
    assert too_many_references(edit(upload(b"1"), upload(b"2")), 2) is None
    assert too_many_references(edit(upload(b"1"), upload(b"2")), 1) == "At most 1 pictures can be given; got 2."


def test_a_name_goes_to_the_model_that_lasts_when_its_own_ends() -> None:
    heir = model(id="heir", aliases=("old", "elder"))
    known, end = catalog(heir, ENDING), date(2026, 12, 1)

    assert known.get("old", end - timedelta(days=1)).id == known.get("elder", end - timedelta(days=1)).id == "old"
    assert known.get("old", end).id == known.get("elder", end).id == "heir"
    assert build_labels(spec(model="old"), known, end).model == "heir"


def test_a_name_whose_models_have_all_ended_is_that_of_the_first() -> None:
    end = date(2026, 12, 1)
    known = catalog(model(), ENDING, model(id="heir", aliases=("old",), shutdown_date=date(2026, 12, 2)))

    assert known.get("old", end).id == "heir"
    with pytest.raises(ModelNotFound, match=r"'old' was shut down on 2026-12-01\. Use 'painter' instead"):
        known.get("old", end + timedelta(days=1))
