"""The canonical request: sizes, demands, clashes, and what makes two wishes the same."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain.errors import InvalidValue
from service.domain.image_spec import (
    CONFLICTS,
    EXTENSIONS,
    IDENTITY_EXCLUDED,
    REQUIRED_FEATURES,
    Operation,
    Reference,
    Size,
    Spec,
    check_conflicts,
    fingerprint,
    required_features,
)
from tests.fakes.builders import edit, spec, upload


@pytest.mark.parametrize(
    ("text", "width", "height"),
    [("1024x1024", 1024, 1024), ("1x2", 1, 2), ("999999x3", 999_999, 3), ("1920x1088", 1920, 1088)],
)
def test_a_size_is_read_and_written_the_same(text: str, width: int, height: int) -> None:
    size = Size.parse(text)

    assert (size.width, size.height, str(size)) == (width, height, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "auto", "1024", "1024x", "x1024", "0x16", "16x0", "016x16", "-16x16", "16.0x16", "1e3x16"),
        *("1024X1024", "1024*1024", " 1024x1024", "1024x1024\n", "1024x1024x1", "1000000x1", "1\u066024x1024"),
    ],
)
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValue, match="WIDTHxHEIGHT") as refused:
        Size.parse(text)

    assert (refused.value.param, refused.value.code) == ("size", "invalid_value")


def test_a_refused_size_is_quoted_only_in_part() -> None:
    with pytest.raises(InvalidValue) as refused:
        Size.parse("9" * 5000)

    assert "9" * 40 in refused.value.message
    assert "9" * 41 not in refused.value.message


@pytest.mark.parametrize(
    ("size", "pixels", "ratio"),
    [
        (Size(1920, 1088), 2_088_960, "30:17"),
        (Size(1920, 1080), 2_073_600, "16:9"),
        (Size(1024, 1024), 1_048_576, "1:1"),
        (Size(1024, 1536), 1_572_864, "2:3"),
    ],
)
def test_a_size_knows_its_area_and_ratio(size: Size, pixels: int, ratio: str) -> None:
    assert (size.pixels, size.ratio) == (pixels, ratio)


MASK = upload(b"a mask", "mask")

DEMANDING: list[tuple[str, Spec]] = [
    ("quality", spec(tier="low")),
    ("background", spec(background="transparent")),
    ("output_compression", spec(output_compression=0)),
    ("moderation", spec(moderation="low")),
    ("complexity", spec(complexity="low")),
    ("frame_count", spec(frame_count=2)),
    ("frame_duration_ms", spec(frame_duration_ms=0)),
    ("svg", spec(svg={})),
    ("input_fidelity", spec(input_fidelity="low")),
    ("image", edit()),
    ("reference_images", spec(references=(upload(),))),
    ("mask", spec(mask=MASK)),
    ("markup", spec(markup=MASK)),
    ("seed", spec(seed=0)),
    ("steps", spec(steps=1)),
    ("guidance_scale", spec(guidance_scale=0.0)),
    ("negative_prompt", spec(negative_prompt="rain")),
    ("image_loras", spec(image_loras=({"path": "x"},))),
    ("disable_safety_checker", spec(disable_safety_checker=True)),
]


@pytest.mark.parametrize(("name", "asked"), DEMANDING, ids=[name for name, _ in DEMANDING])
def test_each_particular_wish_is_one_demand(name: str, asked: Spec) -> None:
    assert required_features(asked) == (name,)


def test_every_demand_has_a_wish_above() -> None:
    assert [name for name, _ in DEMANDING] == list(REQUIRED_FEATURES)


def test_other_vendors_fields_are_demands() -> None:
    assert REQUIRED_FEATURES.keys() >= EXTENSIONS


@pytest.mark.parametrize(
    "plain",
    [
        spec(),
        spec(n=10, size=Size(1024, 1024)),
        spec(background="opaque", output_format="jpeg"),
        spec(user="u", safety_identifier="s"),
    ],
)
def test_what_every_backend_does_is_no_demand(plain: Spec) -> None:
    assert required_features(plain) == ()


CLASHING: list[tuple[str, Spec]] = [
    ("background", spec(background="transparent", output_format="jpeg")),
    ("background", spec(background="transparent", output_format="gif")),
    ("background", spec(background="transparent", output_format="svg")),
    ("output_compression", spec(output_compression=50)),
    ("output_compression", spec(output_compression=0, output_format="gif")),
    ("output_compression", spec(output_compression=99, output_format="svg")),
    ("mask", edit(mask=MASK, output_format="gif")),
    ("markup", edit(mask=MASK, markup=upload(b"", "markup"))),
    ("n", spec(n=2, output_format="svg")),
    ("svg", spec(svg={})),
    ("svg", spec(svg={"model": "x"}, output_format="webp")),
    ("frame_count", spec(frame_count=2)),
    ("frame_duration_ms", spec(frame_duration_ms=0, output_format="svg")),
    ("image", spec(operation=Operation.EDIT)),
]


@pytest.mark.parametrize(("param", "clashing"), CLASHING)
def test_fields_that_exclude_each_other_are_refused_by_name(param: str, clashing: Spec) -> None:
    message = next(clash.message for clash in CONFLICTS if clash.param == param)

    with pytest.raises(InvalidValue) as refused:
        check_conflicts(clashing)

    assert (refused.value.param, refused.value.code, refused.value.message) == (param, "invalid_value", message)


def test_every_clash_has_an_example_above() -> None:
    assert list(dict.fromkeys(param for param, _ in CLASHING)) == [clash.param for clash in CONFLICTS]


@pytest.mark.parametrize(
    "fine",
    [
        spec(),
        edit(),
        spec(background="transparent"),
        spec(background="transparent", output_format="webp", output_compression=0),
        spec(background="opaque", output_format="jpeg", output_compression=100),
        edit(mask=MASK),
        edit(markup=MASK, output_format="gif"),
        spec(output_format="svg", svg={}),
        spec(output_format="svg", n=1),
        spec(output_format="gif", frame_count=16, frame_duration_ms=10, n=3),
    ],
)
def test_fields_that_go_together_pass(fine: Spec) -> None:
    check_conflicts(fine)


WORDS = st.text(max_size=8)
MAYBE_WORD = st.none() | WORDS
MAYBE_NUMBER = st.none() | st.integers(0, 1000)
OPTIONS = st.dictionaries(WORDS, WORDS | st.dictionaries(WORDS, WORDS, max_size=3), max_size=3)
PICTURES = st.builds(Reference, param=st.sampled_from(["image", "mask"]), digest=WORDS)

VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "operation": st.sampled_from(Operation),
    "model": WORDS,
    "prompt": WORDS,
    "n": st.integers(1, 10),
    "size": st.none() | st.builds(Size, st.integers(1, 4000), st.integers(1, 4000)),
    "tier": MAYBE_WORD,
    "background": MAYBE_WORD,
    "output_format": WORDS,
    "output_compression": MAYBE_NUMBER,
    "moderation": MAYBE_WORD,
    "complexity": MAYBE_WORD,
    "frame_count": MAYBE_NUMBER,
    "frame_duration_ms": MAYBE_NUMBER,
    "svg": st.none() | OPTIONS,
    "input_fidelity": MAYBE_WORD,
    "references": st.lists(PICTURES, max_size=3).map(tuple),
    "mask": st.none() | PICTURES,
    "markup": st.none() | PICTURES,
    "seed": MAYBE_NUMBER,
    "steps": MAYBE_NUMBER,
    "guidance_scale": st.none() | st.floats(allow_nan=False),
    "negative_prompt": MAYBE_WORD,
    "image_loras": st.none() | st.lists(OPTIONS, max_size=3).map(tuple),
    "disable_safety_checker": st.booleans(),
}


def test_every_field_is_part_of_identity_or_named_as_none() -> None:
    assert {field.name for field in fields(Spec)} == VALUES.keys() | IDENTITY_EXCLUDED


SPECS = st.fixed_dictionaries(dict(VALUES)).map(lambda values: Spec(**values))


@given(any_spec=SPECS, name=st.sampled_from(sorted(VALUES)), data=st.data())
def test_any_one_field_changes_the_fingerprint(any_spec: Spec, name: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[name])
    assume(value != getattr(any_spec, name))

    other = replace(any_spec, **{name: value})

    assert fingerprint(other) != fingerprint(any_spec)


@given(any_spec=SPECS, safety_identifier=MAYBE_WORD, user=MAYBE_WORD)
def test_who_asks_does_not_change_the_fingerprint(
    any_spec: Spec, safety_identifier: str | None, user: str | None
) -> None:
    other = replace(any_spec, safety_identifier=safety_identifier, user=user)

    assert fingerprint(other) == fingerprint(any_spec)


def turned(value: object) -> object:
    """The same value with every mapping in it the other way round."""
    match value:
        case Mapping():
            return {key: turned(item) for key, item in reversed(list(value.items()))}
        case tuple():
            return tuple(turned(item) for item in value)
        case _:
            return value


@given(svg=OPTIONS, image_loras=st.lists(OPTIONS, max_size=3).map(tuple))
def test_the_order_of_a_mapping_does_not_change_the_fingerprint(svg: object, image_loras: object) -> None:
    one = spec(svg=svg, image_loras=image_loras)
    other = spec(svg=turned(svg), image_loras=turned(image_loras))

    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    "changes",
    [{"param": "images[0].image_url"}, {"media_type": "image/png"}, {"content": None}, {"link": "https://x.test/"}],
)
def test_a_picture_is_known_by_its_digest_alone(changes: dict[str, Any]) -> None:
    picture = upload()

    assert fingerprint(edit(replace(picture, **changes))) == fingerprint(edit(picture))


def test_the_order_of_pictures_changes_the_fingerprint() -> None:
    one, two = upload(b"one"), upload(b"two")

    assert fingerprint(edit(one, two)) != fingerprint(edit(two, one))


def test_a_fingerprint_is_64_hex_digits() -> None:
    assert len(fingerprint(spec())) == 64
    assert set(fingerprint(spec())) <= set("0123456789abcdef")


def test_a_spec_shows_no_words_and_no_people() -> None:
    shown = repr(spec(prompt="secret-a", negative_prompt="secret-b", user="secret-c", safety_identifier="secret-d"))

    assert "secret" not in shown
    assert "painter" in shown
