"""Outcomes of backend calls."""

from service.domain.generation import GeneratedImage, Generation, Usage

ONE = Usage(text_in=1, image_in=2, image_out=3, text_out=4)


def test_usage_adds_up_kind_by_kind() -> None:
    assert ONE + Usage(text_in=10, image_in=20, image_out=30, text_out=40) == Usage(
        text_in=11, image_in=22, image_out=33, text_out=44
    )


def test_usage_has_totals_for_each_direction() -> None:
    assert (ONE.tokens_in, ONE.tokens_out) == (3, 7)


def test_no_usage_is_nothing() -> None:
    assert (Usage().tokens_in, Usage().tokens_out) == (0, 0)
    assert Usage() + ONE == ONE


def test_a_pictures_bytes_are_never_shown() -> None:
    shown = repr(Generation(images=(GeneratedImage(base64=b"SECRET"),)))

    assert "SECRET" not in shown
    assert "Generation" in shown


def test_what_the_vendor_did_not_say_is_none() -> None:
    bare = Generation(images=())

    assert (bare.created, bare.size, bare.tier, bare.background) == (None, None, None, None)
    assert (bare.output_format, bare.usage, bare.svg_usage) == (None, None, None)
