"""The picture store: in memory and in a folder."""

import base64
import re
from pathlib import Path

import pytest

from service.adapters.pictures import FolderPictures
from service.domain.errors import PictureNotFound, StoreUnavailable
from service.domain.outcomes import Picture
from service.usecases.ports import PictureStore
from tests.fakes.pictures import FakePictures

NAME = "img_" + "0" * 40


@pytest.fixture(params=["fake", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PictureStore:
    return FakePictures() if request.param == "fake" else FolderPictures(tmp_path / "new" / "pictures")


def picture(body: bytes = b"picture") -> Picture:
    return Picture(base64=base64.b64encode(body))


@pytest.mark.parametrize(
    ("ending", "media_type"),
    [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("svg", "image/svg+xml"),
    ],
)
async def test_what_was_kept_is_read(store: PictureStore, ending: str, media_type: str) -> None:
    await store.keep(f"{NAME}.{ending}", picture())
    found = await store.read(f"{NAME}.{ending}")
    assert (found.media_type, bytes(found.body)) == (media_type, b"picture")


async def test_a_name_is_written_once(store: PictureStore) -> None:
    await store.keep(f"{NAME}.png", picture(b"first"))
    await store.keep(f"{NAME}.png", picture(b"second"))
    assert bytes((await store.read(f"{NAME}.png")).body) == b"first"


async def test_what_was_not_kept_is_not_found(store: PictureStore) -> None:
    with pytest.raises(PictureNotFound):
        await store.read(f"{NAME}.png")


@pytest.fixture(params=["fake", "folder"])
def broken_store(request: pytest.FixtureRequest, tmp_path: Path) -> PictureStore:
    if request.param == "fake":
        fake = FakePictures()
        fake.down = True
        return fake
    store = FolderPictures(tmp_path / "pictures")
    (tmp_path / "pictures").rmdir()
    (tmp_path / "pictures").write_text("a file where a folder should be")
    return store


async def test_a_store_that_is_down_says_so_and_nothing_else(broken_store: PictureStore, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as kept:
        await broken_store.keep(f"{NAME}.png", picture())
    with pytest.raises(StoreUnavailable) as read:
        await broken_store.read(f"{NAME}.png")
    assert not re.search(re.escape(str(tmp_path)), kept.value.message + read.value.message)


async def test_what_is_not_base64_is_not_kept(tmp_path: Path) -> None:
    store = FolderPictures(tmp_path)
    with pytest.raises(StoreUnavailable):
        await store.keep(f"{NAME}.png", Picture(base64=b"###"))
    with pytest.raises(PictureNotFound):
        await store.read(f"{NAME}.png")
