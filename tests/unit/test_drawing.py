"""The sandbox's images, decoded and inspected pixel by pixel."""

import hashlib
import io
from dataclasses import replace
from typing import Any, BinaryIO
from xml.etree import ElementTree as ET

import pytest
from PIL import Image, ImageChops, ImageStat

from service.adapters.backends.sandbox.drawing import draw, preview
from service.domain.errors import UnreadableFile
from service.domain.image_spec import Operation, Reference, Size, Spec, fingerprint

SIZE = Size(240, 160)
RED, BLUE = (220, 20, 30), (20, 40, 220)


class Held:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.body)


def reference(image: Image.Image, form: str = "png", **settings: Any) -> Reference:
    body = io.BytesIO()
    image.save(body, form, **settings)
    return reference_to(body.getvalue())


def reference_to(body: bytes) -> Reference:
    return Reference(param="image[0]", digest=hashlib.sha256(body).hexdigest(), content=Held(body))


def plain(colour: Any, size: tuple[int, int] = (240, 160), mode: str = "RGB") -> Reference:
    return reference(Image.new(mode, size, colour))


def build_spec(**fields: Any) -> Spec:
    spec_fields = {"operation": Operation.GENERATE, "model": "gpt-image-2", "prompt": "A fox in the snow"}
    return Spec(**(spec_fields | fields))


def edit(*references: Reference, **fields: Any) -> Spec:
    return build_spec(operation=Operation.EDIT, references=references, **fields)


def drawn(spec: Spec, index: int = 0, size: Size = SIZE) -> Image.Image:
    image = Image.open(io.BytesIO(draw(spec, fingerprint(spec), index, size, "medium")))
    image.load()
    return image


def distance(one: Image.Image, other: Image.Image) -> float:
    """The mean difference per pixel and channel, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3


def near(pixel: Any, colour: tuple[int, ...], within: int = 12) -> bool:
    return all(abs(a - b) <= within for a, b in zip(pixel, colour, strict=False))


@pytest.mark.parametrize("size", [Size(1024, 1024), Size(1536, 1024), Size(241, 163), Size(64, 192), Size(1, 1)])
@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_a_picture_has_the_size_and_format_that_were_asked_for(form: str, size: Size) -> None:
    image = drawn(build_spec(output_format=form), size=size)
    assert (image.format, image.size) == (form.upper(), (size.width, size.height))


@pytest.mark.parametrize("size", [Size(1024, 700), Size(37, 41)])
def test_every_format_shows_the_same_picture(size: Size) -> None:
    png, jpeg, webp = (
        Image.open(io.BytesIO(draw(build_spec(output_format=form), "same", 0, size, None)))
        for form in ("png", "jpeg", "webp")
    )
    assert distance(png, jpeg) < 4
    assert distance(png, webp) < 4


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif", "svg"])
def test_the_same_request_gives_the_same_bytes(form: str) -> None:
    spec = build_spec(output_format=form)
    assert len({draw(spec, "f1", 0, SIZE, "low") for _ in range(2)}) == 1


def test_every_fingerprint_and_every_index_gives_another_picture() -> None:
    spec = build_spec()
    images = [
        Image.open(io.BytesIO(draw(spec, probe, index, SIZE, "low"))) for probe in ("f1", "f2") for index in range(3)
    ]
    pairs = [(a, b) for i, a in enumerate(images) for b in images[:i]]
    assert min(distance(a, b) for a, b in pairs) > 4


def test_every_sample_is_another_picture_and_says_which_it_is() -> None:
    spec = build_spec(output_format="svg")
    plain_one, *samples = [draw(spec, "f", 0, Size(480, 480), "low", sample).decode() for sample in ("", "3fa2c1", "0")]
    assert len({document.partition("<text")[0] for document in (plain_one, *samples)}) == 3
    assert "gpt-image-2, low, 480x480, sample 3fa2c1<" in samples[0]
    assert "sample" not in plain_one
    several = draw(build_spec(n=4), "f", 2, Size(480, 480), "low", "3fa2c1")
    assert several != draw(build_spec(n=4), "f", 1, Size(480, 480), "low", "3fa2c1")


SIZES = (Size(480, 480), Size(720, 480), Size(480, 720), Size(960, 320), Size(320, 960))


@pytest.mark.parametrize("before", SIZES, ids=str)
@pytest.mark.parametrize("after", SIZES, ids=str)
def test_the_words_of_an_edit_hide_those_of_the_picture_that_is_edited(before: Size, after: Size) -> None:
    bands = []
    for words in ("a fox in the snow " * 4, ""):
        first = draw(build_spec(prompt=words), "same landscape", 0, before, "low")
        edited = Image.open(io.BytesIO(draw(edit(reference_to(first)), "same", 0, after, "low")))
        bands.append(edited)
    assert ImageChops.difference(*bands).getbbox() is None


def test_quality_is_compression() -> None:
    for form in ("jpeg", "webp"):
        lengths = [
            len(draw(build_spec(output_format=form, output_compression=quality), "f", 0, SIZE, None))
            for quality in (0, 60, None)
        ]
        assert lengths == sorted(set(lengths))


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_transparent_background_is_nothing_at_all(form: str) -> None:
    image = drawn(build_spec(output_format=form, background="transparent"))
    alpha = image.getchannel("A")
    assert image.mode == "RGBA"
    assert [alpha.getpixel(spot) for spot in ((0, 0), (239, 0), (0, 159), (239, 159))] == [0] * 4
    assert alpha.getpixel((120, 80)) == 255
    assert drawn(build_spec(output_format=form)).mode == "RGB"


def lettered(**changed: Any) -> Image.Image:
    """Return an image whose circles do not depend on the words."""
    return Image.open(io.BytesIO(draw(build_spec(**changed), "same landscape", 0, Size(480, 480), changed.get("tier"))))


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "A fox in the rain"},
        {"model": "gpt-image-2.5-flare"},
        {"tier": "high"},
        {"seed": 7},
        {"steps": 28},
        {"guidance_scale": 3.5},
        {"negative_prompt": "blur"},
        {"complexity": "low"},
        {"input_fidelity": "high"},
    ],
)
def test_words_and_settings_can_be_read_on_the_picture(changed: dict[str, Any]) -> None:
    difference = ImageChops.difference(lettered(), lettered(**changed))
    assert difference.getbbox() is not None
    assert max(high for _, high in ImageStat.Stat(difference).extrema) > 60


def test_the_words_stand_out_from_their_band() -> None:
    spec = build_spec(prompt="Fox " * 12)
    image = drawn(spec, size=Size(480, 480)).convert("L")
    panel = image.crop((0, 320, 480, 480))
    tones = panel.histogram()
    assert sum(tones[245:]) > 300
    assert sum(tones[:140]) > sum(tones) / 2


def test_accents_are_dropped_rather_than_boxed() -> None:
    assert lettered(prompt="Café").tobytes() == lettered(prompt="Cafe").tobytes()


@pytest.mark.parametrize("text", ["‘Fox’", "“Fox”", "Fox — fox", "Füße", "Ｆｏｘ"])  # noqa: RUF001 (what prompts hold)
def test_letters_with_a_plain_form_are_written_plainly(text: str) -> None:
    plain = {"‘Fox’": "'Fox'", "“Fox”": '"Fox"', "Fox — fox": "Fox - fox", "Füße": "Fusse", "Ｆｏｘ": "Fox"}  # noqa: RUF001 (as above)
    assert lettered(prompt=text).tobytes() == lettered(prompt=plain[text]).tobytes()


def test_letters_that_the_font_lacks_are_distinguishable() -> None:
    assert lettered(prompt="雪").tobytes() == lettered(prompt="U+96EA").tobytes()
    assert lettered(prompt="雪").tobytes() != lettered(prompt="狐").tobytes()


def texts(**fields: Any) -> list[tuple[str, float]]:
    """Return the lines of a square svg with their font sizes, the caption last."""
    document = draw(build_spec(output_format="svg", **fields), "f", 0, Size(600, 600), "low")
    lines = ET.fromstring(document).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 (our own document)
    return [(line.text or "", float(line.attrib["font-size"])) for line in lines]


def test_type_grows_with_the_room_and_long_words_end_in_an_ellipsis() -> None:
    short, long = texts(prompt="Fox"), texts(prompt="word " * 6000)
    assert short[0][1] > 3 * long[0][1]
    assert [text for text, _ in short] == ["Fox", "gpt-image-2, low, 600x600"]
    assert long[-2][0].endswith("word…")
    assert long[-1][0] == "gpt-image-2, low, 600x600"
    assert [text for text, _ in texts(prompt="x" * 60)][:2] == ["x" * 40, "x" * 20]


@pytest.mark.parametrize(
    "size", [Size(1024, 1024), Size(512, 2048), Size(2048, 512), Size(64, 64), Size(9, 9), Size(1, 1)]
)
def test_text_stays_on_its_panel(size: Size) -> None:
    for words in ("Fox", "A fox in the snow " * 20, "word " * 6000, ""):
        root = ET.fromstring(draw(build_spec(output_format="svg", prompt=words), "f", 0, size, "low"))  # noqa: S314 (our own document)
        panel = next(rect for rect in root.iter("{http://www.w3.org/2000/svg}rect") if "y" in rect.attrib).attrib
        for line in root.iter("{http://www.w3.org/2000/svg}text"):
            assert int(panel["y"]) < float(line.attrib["y"]) <= size.height


def test_a_gif_moves() -> None:
    image = drawn(build_spec(output_format="gif"))
    assert (image.format, image.size) == ("GIF", (240, 160))
    assert (getattr(image, "n_frames", 1), image.info["duration"]) == (9, 200)
    few: Any = drawn(build_spec(output_format="gif", frame_count=4, frame_duration_ms=50))
    assert (few.n_frames, few.info["duration"]) == (4, 50)
    frames = []
    for number in range(4):
        few.seek(number)
        frames.append(few.convert("RGB"))
    assert min(distance(a, b) for i, a in enumerate(frames) for b in frames[:i]) > 0.3


def svg(spec: Spec) -> ET.Element:
    return ET.fromstring(draw(spec, "f", 0, SIZE, "low"))  # noqa: S314 (our own document)


def test_an_svg_is_well_formed_whatever_the_words_are() -> None:
    root = svg(build_spec(output_format="svg", prompt='Café <b>&</b> "it\'s" \x00\x0b 中'))
    assert root.attrib["viewBox"] == "0 0 240 160"
    words = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ['Café <b>&</b> "it\'s" 中', "gpt-image-2, low, 240x160"]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 7


def test_an_svg_of_an_edit_holds_the_callers_picture() -> None:
    root = svg(edit(plain(RED), output_format="svg"))
    image = root.find("{http://www.w3.org/2000/svg}image")
    assert image is not None
    assert image.attrib["href"].startswith("data:image/jpeg;base64,/9j/")


def test_the_first_reference_is_the_backdrop() -> None:
    red, blue = drawn(edit(plain(RED))), drawn(edit(plain(BLUE)))
    (r, _, b), (r2, _, b2) = ImageStat.Stat(red).mean, ImageStat.Stat(blue).mean
    assert r > 1.5 * r2
    assert b2 > 1.5 * b


def test_sixteen_references_can_all_be_seen() -> None:
    colours = [(250 if i & 1 else 5, 250 if i & 2 else 5, 60 * (i >> 2) + 20) for i in range(16)]
    spec = edit(*(plain(colour, (90, 70)) for colour in colours))
    image = drawn(spec, size=Size(1024, 1024))
    seen = {colour for _, colour in image.getcolors(1 << 21) or []}
    assert set(colours[1:]) <= seen


def halves(left: int, right: int) -> Reference:
    """A mask of 240x160 with an alpha for its left half and one for its right."""
    mask = Image.new("RGBA", (240, 160), (0, 0, 0, right))
    mask.paste((0, 0, 0, left), (0, 0, 120, 160))
    return reference(mask)


def test_a_mask_confines_what_is_painted() -> None:
    image = drawn(edit(plain(RED), plain(BLUE), mask=halves(255, 0)))
    assert image.crop((0, 0, 120, 160)).getcolors() == [(120 * 160, RED)]
    painted = image.crop((120, 0, 240, 160))
    assert all(not near(colour, RED) for _, colour in painted.getcolors(1 << 16) or [])
    assert BLUE in {colour for _, colour in painted.getcolors(1 << 16) or []}


def test_a_mask_without_a_hole_leaves_everything() -> None:
    assert drawn(edit(plain(RED), mask=halves(255, 128))).getcolors() == [(240 * 160, RED)]


def test_the_smallest_hole_is_painted() -> None:
    mask = Image.new("RGBA", (240, 160), (0, 0, 0, 255))
    mask.putpixel((50, 50), (0, 0, 0, 0))
    image = drawn(edit(plain(RED), plain(BLUE), mask=reference(mask)))
    assert sum(count for count, colour in image.getcolors(1 << 16) or [] if colour != RED) == 1


def test_markup_lies_over_everything() -> None:
    markup = Image.new("RGBA", (240, 160))
    markup.paste((0, 255, 0, 255), (100, 60, 140, 100))
    image = drawn(edit(plain(RED), markup=reference(markup)))
    assert image.crop((100, 60, 140, 100)).getcolors() == [(1600, (0, 255, 0))]
    assert not near(image.getpixel((10, 10)), (0, 255, 0), 60)


def test_links_that_stayed_links_are_cards() -> None:
    link = Reference(param="image[1]", digest="one", link="https://example.com/a.png")
    other = replace(link, digest="another")
    with_one, with_other = (
        Image.open(io.BytesIO(draw(edit(plain(RED), card, mask=None), "same", 0, SIZE, None))) for card in (link, other)
    )
    box = ImageChops.difference(with_one, with_other).getbbox()
    assert box is not None
    assert 60 < box[1] < box[3] <= 106
    overlaid = edit(plain(RED), mask=link, markup=link)
    assert drawn(overlaid).size == (240, 160)


def test_transparent_references_lie_on_white() -> None:
    clear = plain((0, 0, 0, 0), mode="RGBA")
    assert BLUE not in {colour for _, colour in drawn(edit(plain(RED), clear)).getcolors(1 << 16) or []}
    pixel = drawn(edit(clear, mask=halves(255, 0))).getpixel((5, 5))
    assert pixel == (255, 255, 255)


def test_references_stand_upright() -> None:
    notes = Image.Exif()
    notes[0x0112] = 3
    upside_down = Image.new("RGB", (240, 160), RED)
    upside_down.paste(BLUE, (0, 80, 240, 160))
    spec = edit(reference(upside_down, "jpeg", quality=95, exif=notes), mask=halves(255, 0))
    image = drawn(spec)
    assert near(image.getpixel((20, 20)), BLUE)
    assert near(image.getpixel((20, 140)), RED)


def test_notes_that_cannot_be_read_do_no_harm() -> None:
    noted = reference(Image.new("RGB", (240, 160), RED), exif=b"Exif\0\0garbage")
    assert drawn(edit(noted, mask=halves(255, 255))).getcolors() == [(240 * 160, RED)]


def test_a_large_photo_is_decoded_no_finer_than_needed() -> None:
    gradient = Image.radial_gradient("L").resize((1600, 1200)).convert("RGB")
    spec = edit(reference(gradient, "jpeg", quality=90), mask=halves(255, 255))
    small = gradient.resize((240, 180)).crop((0, 10, 240, 170))
    assert distance(drawn(spec), small) < 4


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_broken_reference_is_refused_by_name(form: str) -> None:
    body = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(body, form)
    cut = reference_to(body.getvalue()[:3000])
    with pytest.raises(UnreadableFile) as caught:
        drawn(edit(cut))
    assert (caught.value.param, caught.value.code) == ("image[0]", "invalid_image")


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("size", [Size(241, 163), Size(1, 1)])
def test_a_preview_has_size_and_format_of_its_image(form: str, size: Size) -> None:
    drawn_one = Image.open(io.BytesIO(preview(draw(build_spec(output_format=form), "f", 0, size, None), 0)))
    assert (drawn_one.format, drawn_one.size) == (form.upper(), (size.width, size.height))


def test_later_previews_come_closer_to_the_image() -> None:
    image = draw(build_spec(), "f", 0, Size(480, 480), None)
    previews = [Image.open(io.BytesIO(preview(image, index))) for index in range(3)]
    distances = [distance(coarse, Image.open(io.BytesIO(image))) for coarse in previews]
    assert distances == sorted(set(distances), reverse=True)


def test_a_preview_of_a_transparent_image_is_transparent() -> None:
    image = preview(draw(build_spec(background="transparent"), "f", 0, SIZE, None), 2)
    assert Image.open(io.BytesIO(image)).mode == "RGBA"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK"])
def test_references_of_every_mode_are_shown(mode: str) -> None:
    form = "jpeg" if mode == "CMYK" else "png"
    source = Image.linear_gradient("L").convert("I") if mode == "I;16" else Image.linear_gradient("L")
    assert drawn(edit(reference(source.convert(mode), form), plain(RED))).size == (240, 160)
