"""Pictures that were kept long enough go; everything else stays."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from service.domain.stored_images import UPLOADED, UploadedFile, new_image_id, to_filename_key, to_stored_name
from service.usecases.images.delete_expired_images import DeleteExpiredImages
from service.usecases.images.file_listing import FileListing
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.events import FileListOutdated, ImagesDeleted, ImageStoreFailed
from tests.fakes.file_index import FakeFileIndex
from tests.fakes.image_store import NOON, FakeImageStore
from tests.fakes.observer import Recorder

KEEP_SECONDS = 3600
OLD, NEW = (to_stored_name(new_image_id("search", "png", digit * 32)) for digit in "01")


class Stage:
    """A store with an old picture, a new one and something else, and a clock."""

    def __init__(self) -> None:
        self.store, self.observer, self.now = FakeImageStore(), Recorder(), NOON
        self.index = FakeFileIndex()
        self.pictures = ReadImages(store=self.store, keep_seconds=KEEP_SECONDS, now=lambda: self.now)
        self.forget = DeleteExpiredImages(
            store=self.store,
            listing=FileListing(index=self.index, images=self.pictures, observer=self.observer, now=lambda: self.now),
            observer=self.observer,
            now=lambda: self.now,
            keep_seconds=KEEP_SECONDS,
            sweep_seconds=0.001,
        )

    async def fill(self) -> None:
        self.store.now = NOON - timedelta(hours=1)
        await self.store.put(OLD, b"old")
        await self.store.put("notes.txt", b"not ours")
        self.store.now = NOON
        await self.store.put(NEW, b"new")

    async def bring(self, digit: str, filename: bytes = b"fox.png", seconds: int | None = None) -> UploadedFile:
        """Put a file into the store as a gateway does that keeps no list."""
        picture = new_image_id("search", "png", digit * 32, UPLOADED, seconds)
        await self.store.put(to_filename_key(to_stored_name(picture)), filename)
        await self.store.put(to_stored_name(picture), b"fox")
        return UploadedFile(id=picture, filename=filename.decode(errors="replace"), length=3, written_at=self.store.now)

    def listed(self) -> list[UploadedFile]:
        return [file for picture, file in self.index.files.items() if picture not in self.index.deleted]


async def test_what_is_old_goes_and_what_is_new_or_not_ours_stays() -> None:
    stage = Stage()
    await stage.fill()

    await stage.forget.sweep()
    await stage.forget.sweep()

    assert set(stage.store.stored) == {NEW, "notes.txt"}
    assert stage.observer.events == [ImagesDeleted(count=1)]


async def test_what_is_new_grows_old() -> None:
    stage = Stage()
    await stage.fill()

    stage.now += timedelta(hours=1)
    await stage.forget.sweep()

    assert set(stage.store.stored) == {"notes.txt"}
    assert stage.observer.events == [ImagesDeleted(count=2)]


async def test_a_store_that_is_away_is_asked_again() -> None:
    stage = Stage()
    await stage.fill()
    stage.store.down = True
    await stage.forget.sweep()
    stage.store.down = False
    assert OLD in stage.store.stored

    running = asyncio.create_task(stage.forget.run())
    await asyncio.wait([running], timeout=0.01)
    running.cancel()

    failed = ImageStoreFailed(request_id="background", reason="The image store does not answer.")
    assert stage.observer.events == [failed, ImagesDeleted(count=1)]


async def test_files_that_the_list_lacks_are_found_by_one_look() -> None:
    stage = Stage()
    await stage.fill()
    files = [await stage.bring("2"), await stage.bring("3", b"\xfff\x00ox")]
    await stage.store.put(to_stored_name(new_image_id("search", "png", "4" * 32, UPLOADED)), b"a file without a name")

    await stage.forget.sweep()
    await stage.forget.sweep()

    assert stage.listed() == [files[0], replace(files[1], filename="\ufffdfox")]


async def test_a_file_goes_when_its_caller_said_and_not_before() -> None:
    stage = Stage()
    lent, shared = await stage.bring("2", seconds=1800), await stage.bring("3")
    await stage.forget.sweep()
    stage.now += timedelta(seconds=1800 - 0.001)
    await stage.forget.sweep()
    assert stage.listed() == [lent, shared]
    assert to_stored_name(lent.id) in stage.store.stored

    stage.now += timedelta(seconds=0.001)
    await stage.forget.sweep()

    assert stage.listed() == [shared]
    assert to_stored_name(lent.id) not in stage.store.stored


async def test_what_is_gone_from_the_store_leaves_the_list() -> None:
    stage = Stage()
    stage.store.now -= timedelta(minutes=61)
    settled = await stage.bring("2", seconds=7200)
    stage.store.now += timedelta(minutes=31)
    young = await stage.bring("3")
    await stage.index.add([settled, young])
    stage.forget = replace(stage.forget, keep_seconds=7200)
    await stage.store.delete([to_stored_name(file.id) for file in (settled, young)])

    await stage.forget.sweep()

    assert stage.listed() == [young]


async def test_while_the_list_is_away_pictures_go_all_the_same() -> None:
    stage = Stage()
    await stage.fill()
    file = await stage.bring("2")
    stage.index.down = True

    await stage.forget.sweep()
    stage.index.down = False
    assert set(stage.store.stored) == {
        NEW,
        "notes.txt",
        to_stored_name(file.id),
        to_filename_key(to_stored_name(file.id)),
    }
    assert stage.observer.events == [
        FileListOutdated(reason="The ledger of record does not answer."),
        ImagesDeleted(count=1),
    ]
    await stage.forget.sweep()

    assert stage.listed() == [file]


async def test_a_list_that_goes_away_at_the_end_of_a_look_is_told_of() -> None:
    stage = Stage()
    stage.index.down = True

    await stage.forget.sweep()

    assert stage.observer.events == [FileListOutdated(reason="The ledger of record does not answer.")]


async def test_what_is_old_and_still_there_stays_in_the_list() -> None:
    stage = Stage()
    stage.store.now = NOON - timedelta(minutes=90)
    file = await stage.bring("3")
    pictures = replace(stage.pictures, keep_seconds=2 * KEEP_SECONDS)
    files = replace(stage.forget.listing, images=pictures)
    forget = replace(stage.forget, listing=files, keep_seconds=2 * KEEP_SECONDS)

    await forget.sweep()
    await forget.sweep()

    assert stage.listed() == [file]
