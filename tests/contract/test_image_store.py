"""The image store: in memory, in a folder, and in a bucket."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.adapters.image_store import FolderImageStore, build_bucket_store
from service.domain.byte_ranges import ByteRange
from service.domain.errors import ImageNotFound, StoreUnavailable
from service.domain.stored_images import expired_names, new_image_id, to_stored_name
from service.usecases.ports.image_store import ImageStore, StoredContent
from tests.fakes.image_store import FakeImageStore
from tests.support.object_server import CREDENTIALS, ObjectServer
from tests.support.quiet_loop import quiet_seconds, run_quietly

NAME = to_stored_name(new_image_id("search", "png", "0" * 32))
OTHER = to_stored_name(new_image_id("search", "jpeg", "1" * 32))
KINDS = ["fake", "folder", "bucket"]

Open = Callable[[str], ImageStore]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    def open_store(kind: str) -> ImageStore:
        if kind == "fake":
            return FakeImageStore()
        if kind == "folder":
            return FolderImageStore(tmp_path / "new" / "pictures")
        request.getfixturevalue("credentials")
        objects: ObjectServer = request.getfixturevalue("objects")
        return build_bucket_store(objects.new_bucket(), "of/ours", objects.url)

    return open_store


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, opened: Open) -> ImageStore:
    return opened(request.param)


async def body(image: StoredContent) -> bytes:
    return b"".join([bytes(piece) async for piece in image.chunks])


async def names(store: ImageStore) -> list[str]:
    return sorted([stored_object.name async for batch in store.list_all() for stored_object in batch])


@pytest.mark.parametrize("content", [b"picture", b"", bytes(range(256)) * 12_000], ids=["small", "empty", "large"])
async def test_what_was_kept_is_read(store: ImageStore, content: bytes) -> None:
    await store.put(NAME, memoryview(content))

    image = await store.read(NAME)

    assert await body(image) == content
    assert (image.stored.name, image.stored.length) == (NAME, len(content))
    assert await store.stat(NAME) == image.stored


async def test_it_is_known_when_it_was_kept(opened: Open) -> None:
    for kind in ("folder", "bucket"):
        store = opened(kind)
        await store.put(NAME, b"picture")
        status = await store.stat(NAME)
        assert abs(status.written_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_name_is_written_once(store: ImageStore) -> None:
    await store.put(NAME, b"first")
    await store.put(NAME, b"second")
    assert await body(await store.read(NAME)) == b"first"


@pytest.mark.parametrize("part", [ByteRange(0, 1), ByteRange(2, 5), ByteRange(6, 7), ByteRange(0, 7)])
async def test_a_part_is_read(store: ImageStore, part: ByteRange) -> None:
    await store.put(NAME, b"picture")

    image = await store.read(NAME, part)

    assert await body(image) == b"picture"[part.start : part.end]
    assert image.stored.length == 7


async def test_what_was_not_kept_is_not_found(store: ImageStore) -> None:
    for ask in (store.read, store.stat):
        with pytest.raises(ImageNotFound):
            await ask(NAME)


async def test_everything_is_listed_and_what_is_forgotten_is_not(store: ImageStore) -> None:
    assert await names(store) == []
    for name in (NAME, OTHER, f"{OTHER}.name"):
        await store.put(name, b"picture")

    await store.delete([NAME, f"{OTHER}.name", to_stored_name(new_image_id("search", "png", "9" * 32))])

    assert await names(store) == [OTHER]
    with pytest.raises(ImageNotFound):
        await store.stat(NAME)
    await store.delete([NAME])


async def test_listing_comes_in_batches(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.adapters.image_store.LIST_BATCH", 2)
    for kind in ("folder", "bucket"):
        store = opened(kind)
        for index in range(5):
            await store.put(to_stored_name(new_image_id("search", "png", f"{index:032x}")), b"picture")
        assert sorted([len(batch) async for batch in store.list_all()]) == [1, 2, 2]


@pytest.fixture(params=[*KINDS, "no bucket", "nobody there"])
def broken_store(
    request: pytest.FixtureRequest, tmp_path: Path, credentials: None, objects: ObjectServer
) -> Iterator[ImageStore]:
    del credentials
    match request.param:
        case "fake":
            fake = FakeImageStore()
            fake.down = True
            yield fake
        case "folder":
            store = FolderImageStore(tmp_path / "pictures")
            (tmp_path / "pictures").rmdir()
            (tmp_path / "pictures").write_text("a file where a folder should be")
            yield store
        case "bucket":
            store_there = build_bucket_store(objects.new_bucket(), "", objects.url, timeout_seconds=0.2)
            with objects.frozen():
                yield store_there
        case "no bucket":
            yield build_bucket_store("pictures-that-are-not", "", objects.url)
        case _:
            yield build_bucket_store("pictures", "", "http://127.0.0.1:9")


async def test_a_store_that_is_down_says_so_and_nothing_else(
    broken_store: ImageStore, tmp_path: Path, objects: ObjectServer
) -> None:
    for asked in (broken_store.put(NAME, b"picture"), broken_store.delete([NAME]), names(broken_store)):
        with pytest.raises(StoreUnavailable) as failed:
            await asked
        assert not re.search(f"{tmp_path}|{objects.url}|img_", failed.value.message)


def test_a_store_that_hangs_is_left_alone_for_a_while(credentials: None, objects: ObjectServer) -> None:
    del credentials

    async def scenario() -> None:
        store = build_bucket_store(objects.new_bucket(), "", objects.url, timeout_seconds=0.2)
        with objects.frozen():
            for ask in (store.stat, store.read):
                with pytest.raises(StoreUnavailable):
                    await ask(NAME)
            began = quiet_seconds()
            for _ in range(100):
                with pytest.raises(StoreUnavailable):
                    await store.put(NAME, b"picture")
        assert quiet_seconds() == began

    run_quietly(scenario())


async def test_a_store_that_hangs_in_the_middle_of_a_picture_says_so(credentials: None, objects: ObjectServer) -> None:
    del credentials
    store = build_bucket_store(objects.new_bucket(), "", objects.url, timeout_seconds=0.5)
    await store.put(NAME, bytes(32_000_000))
    image = await store.read(NAME)
    with objects.frozen(), pytest.raises(StoreUnavailable):
        await body(image)


async def test_a_bucket_knows_the_media_type(credentials: None, objects: ObjectServer) -> None:
    del credentials
    bucket = objects.new_bucket()
    await build_bucket_store(bucket, "of/ours", objects.url).put(OTHER, b"picture")
    seen = objects.client().get_object(Bucket=bucket, Key=f"of/ours/{OTHER}")
    assert (seen["ContentType"], seen["Body"].read()) == ("image/jpeg", b"picture")


async def test_a_folder_shows_what_was_never_finished_and_keeps_what_is_not_ours(tmp_path: Path) -> None:
    store = FolderImageStore(tmp_path)
    await store.put(NAME, b"picture")
    for name in (f"{NAME}#1", f"{OTHER}#23", "notes.txt", "img_holiday.png"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "notes.txt")
    old = datetime.now(UTC) - timedelta(hours=2)
    for name in (NAME, f"{NAME}#1", "notes.txt", "img_holiday.png"):
        os.utime(tmp_path / name, (old.timestamp(), old.timestamp()))

    async for batch in store.list_all():
        await store.delete(expired_names(batch, datetime.now(UTC), 86_400))

    assert sorted(os.listdir(tmp_path)) == sorted(  # noqa: PTH208 (a folder in a test blocks no request)
        [NAME, f"{OTHER}#23", "notes.txt", "img_holiday.png", "folder", "link"]
    )
