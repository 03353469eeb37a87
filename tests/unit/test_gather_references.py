"""Callers' pictures: fetched, looked at, and refused before they cost anything."""

from datetime import timedelta

import pytest

from service.adapters.uploads import FileUploads
from service.domain.errors import InvalidValue, StoreUnavailable, TooLarge, UnreachableLink, UnreadableFile
from service.domain.image_spec import Reference, Size, fingerprint
from service.domain.stored_images import new_image_id, to_stored_name
from service.usecases.images.gather_references import MAX_CONCURRENT, GatherReferences, has_links
from service.usecases.images.read_images import ReadImages
from service.usecases.images.stored_reference_reader import StoredReferenceReader
from service.usecases.ports.image_codec import ImageInfo
from tests.fakes.builders import edit, linked, spec, upload
from tests.fakes.image_codec import FakeImageCodec
from tests.fakes.image_store import NOON, FakeImageStore
from tests.fakes.reference_fetcher import FakeReferenceFetcher

LINK = "https://pictures.test/fox.png"
MASK = upload(b"mask", "mask")
NAME = to_stored_name(new_image_id("search", "png", "0" * 32))
JPEG = ImageInfo(media_type="image/jpeg", size=Size(1024, 1024), has_alpha=False)


def gathering(
    darkroom: FakeImageCodec | None = None,
    links: FakeReferenceFetcher | None = None,
    store: FakeImageStore | None = None,
) -> GatherReferences:
    pictures = ReadImages(store=store or FakeImageStore(), keep_seconds=60, now=lambda: NOON)
    return GatherReferences(
        codec=darkroom or FakeImageCodec(),
        fetcher=links or FakeReferenceFetcher({LINK: b"fox"}),
        stored_reader=StoredReferenceReader(images=pictures, uploads=FileUploads(max_bytes=10)),
    )


def kept(name: str = NAME, param: str = "images[0].file_id") -> Reference:
    return Reference(param=param, digest="of the id", stored_name=name)


async def test_without_pictures_there_is_nothing_to_do() -> None:
    assert await gathering().gather(spec(), relay=False) == spec()


@pytest.mark.parametrize("relay", [True, False])
async def test_an_upload_is_known_for_what_it_is(relay: bool) -> None:
    picture = upload(b"fox")

    ready = await gathering(FakeImageCodec(looks={picture.digest: JPEG})).gather(edit(picture), relay=relay)

    assert [found.media_type for found in ready.references] == ["image/jpeg"]
    assert ready.references[0].content is picture.content


async def test_a_link_is_fetched_and_known_by_its_bytes() -> None:
    links = FakeReferenceFetcher({LINK: b"fox"})

    ready = await gathering(links=links).gather(edit(linked(LINK)), relay=False)

    (found,) = ready.references
    assert links.fetched == [LINK]
    assert (found.digest, found.media_type, found.param) == (upload(b"fox").digest, "image/png", "image")
    assert found.content is not None
    assert found.content.open().read() == b"fox"


async def test_a_relayed_link_is_left_unseen() -> None:
    links, darkroom, picture = FakeReferenceFetcher(), FakeImageCodec(), linked(LINK)

    ready = await gathering(darkroom, links).gather(edit(picture), relay=True)

    assert ready.references[0] is picture
    assert (links.fetched, darkroom.inspected) == ([], [])


async def test_pictures_keep_their_order_and_overlays_their_places() -> None:
    one, two, three = upload(b"1", "image[0]"), linked(LINK, "image[1]"), upload(b"3", "image[2]")
    markup = upload(b"markup", "markup")

    ready = await gathering().gather(edit(one, two, three, mask=MASK, markup=markup), relay=False)

    assert [found.param for found in ready.references] == ["image[0]", "image[1]", "image[2]"]
    assert ready.mask is not None
    assert ready.markup is not None
    assert (ready.mask.param, ready.markup.param) == ("mask", "markup")
    assert ready.mask.media_type == "image/png"


async def test_the_same_picture_may_be_brought_twice() -> None:
    picture = upload(b"fox")

    ready = await gathering().gather(edit(picture, picture, mask=picture), relay=False)

    assert [found.digest for found in ready.references] == [picture.digest] * 2
    assert ready.mask == ready.references[0]


@pytest.mark.parametrize("count", [1, 3, 16])
async def test_only_a_few_are_worked_on_side_by_side(count: int) -> None:
    darkroom = FakeImageCodec()
    many = [upload(str(index).encode()) for index in range(count)]

    await gathering(darkroom).gather(edit(*many), relay=False)

    assert len(darkroom.inspected) == count
    assert darkroom.peak == min(count, MAX_CONCURRENT)


@pytest.mark.parametrize("media_type", ["image/gif", "image/avif", "application/pdf", ""])
async def test_a_format_that_no_vendor_takes_is_refused_in_the_vendors_words(media_type: str) -> None:
    picture = upload(b"fox", "image[0]")
    strange = ImageInfo(media_type=media_type, size=Size(1, 1), has_alpha=False)

    with pytest.raises(UnreadableFile) as refused:
        await gathering(FakeImageCodec(looks={picture.digest: strange})).gather(edit(picture), relay=False)

    assert (refused.value.param, refused.value.code) == ("image[0]", "unsupported_file_mimetype")
    assert refused.value.message == (
        f"Invalid file 'image[0]': unsupported mimetype ('{media_type}'). "
        "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
    )


async def test_a_broken_picture_is_refused_by_name() -> None:
    picture = upload(b"junk", "image[3]")

    with pytest.raises(UnreadableFile) as refused:
        await gathering(FakeImageCodec(broken={picture.digest})).gather(edit(upload(), picture), relay=False)

    assert refused.value.param == "image[3]"


async def test_a_link_that_leads_nowhere_is_refused_by_name() -> None:
    with pytest.raises(UnreachableLink) as refused:
        await gathering().gather(edit(linked("https://gone.test/", "images[0].image_url")), relay=False)

    assert refused.value.param == "images[0].image_url"


@pytest.mark.parametrize("name", ["mask", "markup"])
@pytest.mark.parametrize(
    ("look", "message"),
    [
        (JPEG, "{} must be a PNG with an alpha channel."),
        (
            ImageInfo(media_type="image/png", size=Size(1024, 1024), has_alpha=False),
            "{} must be a PNG with an alpha channel.",
        ),
        (
            ImageInfo(media_type="image/webp", size=Size(1024, 1024), has_alpha=True),
            "{} must be a PNG with an alpha channel.",
        ),
        (
            ImageInfo(media_type="image/png", size=Size(1024, 512), has_alpha=True),
            "{} is 1024x512 but the first picture is 1024x1024; they must be the same size.",
        ),
    ],
)
async def test_an_overlay_that_does_not_fit_is_refused_by_name(name: str, look: ImageInfo, message: str) -> None:
    overlay = upload(b"overlay", name)

    with pytest.raises(InvalidValue) as refused:
        await gathering(FakeImageCodec(looks={overlay.digest: look})).gather(edit(**{name: overlay}), relay=False)

    assert (refused.value.param, refused.value.message) == (name, message.format(name))


async def test_an_overlay_is_measured_against_the_first_picture_only() -> None:
    second = upload(b"second")
    small = ImageInfo(media_type="image/png", size=Size(16, 16), has_alpha=True)

    ready = await gathering(FakeImageCodec(looks={second.digest: small})).gather(
        edit(upload(), second, mask=MASK), relay=False
    )

    assert ready.mask is not None


@pytest.mark.parametrize(
    ("first", "mask"),
    [(linked(LINK), upload(b"small", "mask")), (upload(), linked(LINK, "mask")), (linked(LINK), linked(LINK, "mask"))],
)
async def test_where_a_link_is_relayed_its_vendor_compares(first: Reference, mask: Reference) -> None:
    small = ImageInfo(media_type="image/png", size=Size(16, 16), has_alpha=True)
    darkroom = FakeImageCodec(looks={upload(b"small").digest: small})

    ready = await gathering(darkroom).gather(edit(first, mask=mask), relay=True)

    assert ready.mask is not None
    assert ready.mask.digest == mask.digest


async def test_a_seen_overlay_has_to_be_right_even_over_a_relayed_picture() -> None:
    with pytest.raises(InvalidValue, match="alpha channel"):
        await gathering(FakeImageCodec(looks={MASK.digest: JPEG})).gather(edit(linked(LINK), mask=MASK), relay=True)


@pytest.mark.parametrize("relay", [True, False])
async def test_a_kept_picture_is_known_by_its_bytes_as_if_it_had_been_sent(relay: bool) -> None:
    store = FakeImageStore()
    await store.put(NAME, b"fox")
    wish = edit(kept(), kept(), mask=kept(param="mask.file_id"))

    ready = await gathering(store=store).gather(wish, relay=relay)

    sent = edit(upload(b"fox"), upload(b"fox"), mask=upload(b"fox", "mask"))
    assert fingerprint(ready) == fingerprint(sent)
    assert all(found.content and found.content.open().read() == b"fox" for found in ready.references)
    assert [found.param for found in ready.references] == ["images[0].file_id"] * 2
    assert not has_links(wish)


@pytest.mark.parametrize("late", [60, 61])
async def test_what_was_forgotten_what_never_was_and_what_is_anothers_are_one_refusal(late: int) -> None:
    store = FakeImageStore()
    store.now = NOON - timedelta(seconds=late)
    await store.put(NAME, b"fox")
    told = []

    for name in (NAME, to_stored_name(new_image_id("search", "png", "1" * 32)), "", "../../etc/passwd"):
        with pytest.raises(InvalidValue) as refused:
            await gathering(store=store).gather(edit(upload(), kept(name)), relay=False)
        told.append((refused.value.message, refused.value.param, refused.value.code))

    text = "images[0].file_id: there is no such file, or it is not kept any more."
    assert set(told) == {(text, "images[0].file_id", "file_not_found")}


async def test_a_kept_picture_may_not_be_larger_than_one_that_is_sent() -> None:
    store = FakeImageStore()
    await store.put(NAME, b"a" * 11)

    with pytest.raises(TooLarge) as refused:
        await gathering(store=store).gather(edit(kept()), relay=False)

    assert refused.value.param == "images[0].file_id"


async def test_a_store_that_is_down_is_not_the_callers_mistake() -> None:
    store = FakeImageStore()
    store.down = True

    with pytest.raises(StoreUnavailable):
        await gathering(store=store).gather(edit(kept()), relay=False)
