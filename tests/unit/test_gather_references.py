"""Callers' pictures: fetched, looked at, and refused before they cost anything."""

import pytest

from service.domain.errors import InvalidValue, UnreachableLink, UnreadableFile
from service.domain.images import Reference, Size
from service.usecases.gather_references import MOST_AT_ONCE, GatherReferences
from service.usecases.ports import Look
from tests.fakes.builders import edit, linked, spec, upload
from tests.fakes.darkroom import FakeDarkroom
from tests.fakes.links import FakeLinks

LINK = "https://pictures.test/fox.png"
MASK = upload(b"mask", "mask")
JPEG = Look(media_type="image/jpeg", size=Size(1024, 1024), alpha=False)


def gathering(darkroom: FakeDarkroom | None = None, links: FakeLinks | None = None) -> GatherReferences:
    return GatherReferences(darkroom=darkroom or FakeDarkroom(), links=links or FakeLinks({LINK: b"fox"}))


async def test_without_pictures_there_is_nothing_to_do() -> None:
    assert await gathering()(spec(), relay=False) == spec()


@pytest.mark.parametrize("relay", [True, False])
async def test_an_upload_is_known_for_what_it_is(relay: bool) -> None:
    picture = upload(b"fox")

    ready = await gathering(FakeDarkroom(looks={picture.digest: JPEG}))(edit(picture), relay=relay)

    assert [found.media_type for found in ready.references] == ["image/jpeg"]
    assert ready.references[0].content is picture.content


async def test_a_link_is_fetched_and_known_by_its_bytes() -> None:
    links = FakeLinks({LINK: b"fox"})

    ready = await gathering(links=links)(edit(linked(LINK)), relay=False)

    (found,) = ready.references
    assert links.fetched == [LINK]
    assert (found.digest, found.media_type, found.param) == (upload(b"fox").digest, "image/png", "image")
    assert found.content is not None
    assert found.content.open().read() == b"fox"


async def test_a_relayed_link_is_left_unseen() -> None:
    links, darkroom, picture = FakeLinks(), FakeDarkroom(), linked(LINK)

    ready = await gathering(darkroom, links)(edit(picture), relay=True)

    assert ready.references[0] is picture
    assert (links.fetched, darkroom.looked) == ([], [])


async def test_pictures_keep_their_order_and_overlays_their_places() -> None:
    one, two, three = upload(b"1", "image[0]"), linked(LINK, "image[1]"), upload(b"3", "image[2]")
    markup = upload(b"markup", "markup")

    ready = await gathering()(edit(one, two, three, mask=MASK, markup=markup), relay=False)

    assert [found.param for found in ready.references] == ["image[0]", "image[1]", "image[2]"]
    assert ready.mask is not None
    assert ready.markup is not None
    assert (ready.mask.param, ready.markup.param) == ("mask", "markup")
    assert ready.mask.media_type == "image/png"


async def test_the_same_picture_may_be_brought_twice() -> None:
    picture = upload(b"fox")

    ready = await gathering()(edit(picture, picture, mask=picture), relay=False)

    assert [found.digest for found in ready.references] == [picture.digest] * 2
    assert ready.mask == ready.references[0]


@pytest.mark.parametrize("count", [1, 3, 16])
async def test_only_a_few_are_worked_on_side_by_side(count: int) -> None:
    darkroom = FakeDarkroom()
    many = [upload(str(index).encode()) for index in range(count)]

    await gathering(darkroom)(edit(*many), relay=False)

    assert len(darkroom.looked) == count
    assert darkroom.peak == min(count, MOST_AT_ONCE)


@pytest.mark.parametrize("media_type", ["image/gif", "image/avif", "application/pdf", ""])
async def test_a_format_that_no_vendor_takes_is_refused_in_the_vendors_words(media_type: str) -> None:
    picture = upload(b"fox", "image[0]")
    strange = Look(media_type=media_type, size=Size(1, 1), alpha=False)

    with pytest.raises(UnreadableFile) as refused:
        await gathering(FakeDarkroom(looks={picture.digest: strange}))(edit(picture), relay=False)

    assert (refused.value.param, refused.value.code) == ("image[0]", "unsupported_file_mimetype")
    assert refused.value.message == (
        f"Invalid file 'image[0]': unsupported mimetype ('{media_type}'). "
        "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
    )


async def test_a_broken_picture_is_refused_by_name() -> None:
    picture = upload(b"junk", "image[3]")

    with pytest.raises(UnreadableFile) as refused:
        await gathering(FakeDarkroom(broken={picture.digest}))(edit(upload(), picture), relay=False)

    assert refused.value.param == "image[3]"


async def test_a_link_that_leads_nowhere_is_refused_by_name() -> None:
    with pytest.raises(UnreachableLink) as refused:
        await gathering()(edit(linked("https://gone.test/", "images[0].image_url")), relay=False)

    assert refused.value.param == "images[0].image_url"


@pytest.mark.parametrize("name", ["mask", "markup"])
@pytest.mark.parametrize(
    ("look", "message"),
    [
        (JPEG, "{} must be a PNG with an alpha channel."),
        (
            Look(media_type="image/png", size=Size(1024, 1024), alpha=False),
            "{} must be a PNG with an alpha channel.",
        ),
        (
            Look(media_type="image/webp", size=Size(1024, 1024), alpha=True),
            "{} must be a PNG with an alpha channel.",
        ),
        (
            Look(media_type="image/png", size=Size(1024, 512), alpha=True),
            "{} is 1024x512 but the first picture is 1024x1024; they must be the same size.",
        ),
    ],
)
async def test_an_overlay_that_does_not_fit_is_refused_by_name(name: str, look: Look, message: str) -> None:
    overlay = upload(b"overlay", name)

    with pytest.raises(InvalidValue) as refused:
        await gathering(FakeDarkroom(looks={overlay.digest: look}))(edit(**{name: overlay}), relay=False)

    assert (refused.value.param, refused.value.message) == (name, message.format(name))


async def test_an_overlay_is_measured_against_the_first_picture_only() -> None:
    second = upload(b"second")
    small = Look(media_type="image/png", size=Size(16, 16), alpha=True)

    ready = await gathering(FakeDarkroom(looks={second.digest: small}))(edit(upload(), second, mask=MASK), relay=False)

    assert ready.mask is not None


@pytest.mark.parametrize(
    ("first", "mask"),
    [(linked(LINK), upload(b"small", "mask")), (upload(), linked(LINK, "mask")), (linked(LINK), linked(LINK, "mask"))],
)
async def test_where_a_link_is_relayed_its_vendor_compares(first: Reference, mask: Reference) -> None:
    small = Look(media_type="image/png", size=Size(16, 16), alpha=True)
    darkroom = FakeDarkroom(looks={upload(b"small").digest: small})

    ready = await gathering(darkroom)(edit(first, mask=mask), relay=True)

    assert ready.mask is not None
    assert ready.mask.digest == mask.digest


async def test_a_seen_overlay_has_to_be_right_even_over_a_relayed_picture() -> None:
    with pytest.raises(InvalidValue, match="alpha channel"):
        await gathering(FakeDarkroom(looks={MASK.digest: JPEG}))(edit(linked(LINK), mask=MASK), relay=True)
