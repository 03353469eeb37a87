"""Files that callers bring: pictures only, and each team its own."""

import asyncio
import itertools
from datetime import timedelta

import pytest

from service.domain.errors import ImageNotFound, InvalidValue, LedgerUnavailable, StoreUnavailable, UnreadableFile
from service.domain.image_spec import Reference, Size
from service.domain.stored_images import GENERATED, UPLOADED, new_image_id, to_stored_name
from service.domain.team_access import Team
from service.usecases.images import file_listing
from service.usecases.images.file_listing import FileListing
from service.usecases.images.manage_files import ManageFiles
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.events import FileListOutdated
from service.usecases.ports.image_codec import ImageInfo
from tests.fakes.builders import upload
from tests.fakes.file_index import FakeFileIndex
from tests.fakes.image_codec import FakeImageCodec
from tests.fakes.image_store import NOON, FakeImageStore
from tests.fakes.observer import Recorder

TEAM, OTHERS = Team(name="search"), Team(name="ads")
FOX = upload(b"fox", "file")
WEBP = ImageInfo(media_type="image/webp", size=Size(1, 1), has_alpha=False)
GIF = ImageInfo(media_type="image/gif", size=Size(1, 1), has_alpha=False)


class Stage:
    """The story among fakes, and a clock."""

    def __init__(self, look: ImageInfo | None = None, *, stored: bool = True, keep_seconds: float = 60) -> None:
        self.store, self.now, numbers = FakeImageStore(), NOON, itertools.count()
        store = self.store if stored else None
        self.pictures = ReadImages(store=store, keep_seconds=keep_seconds, now=lambda: self.now)
        self.index, self.observer = FakeFileIndex(), Recorder()
        self.listing = FileListing(index=self.index, images=self.pictures, observer=self.observer, now=lambda: self.now)
        self.files = ManageFiles(
            images=self.pictures,
            listing=self.listing,
            codec=FakeImageCodec(looks={FOX.digest: look} if look else {}),
            new_id=lambda: f"{next(numbers):032x}",
        )


@pytest.mark.parametrize(("look", "ending"), [(None, "png"), (WEBP, "webp")])
async def test_a_picture_that_is_brought_is_kept_with_its_name(look: ImageInfo | None, ending: str) -> None:
    stage = Stage(look)

    file = await stage.files.add(FOX, "/home/ann/fox.png", TEAM)

    assert file.id.startswith(UPLOADED)
    assert (file.filename, file.stored.length, file.stored.written_at) == ("fox.png", 3, NOON)
    assert file.expires_at == int(NOON.timestamp()) + 60
    assert stage.store.stored == {f"{file.id}.{ending}.name": b"fox.png", f"{file.id}.{ending}": b"fox"}
    assert await stage.files.describe(file.id, TEAM) == file


async def test_a_drawn_picture_is_a_file_too() -> None:
    stage, picture = Stage(), new_image_id("search", "png", "0" * 32, GENERATED)
    await stage.store.put(to_stored_name(picture), b"fox")

    assert (await stage.files.describe(picture, TEAM)).filename == to_stored_name(picture)
    await stage.files.delete(picture, TEAM)

    assert stage.store.stored == {}


async def test_a_file_that_is_deleted_is_gone_with_its_name() -> None:
    stage = Stage()
    file = await stage.files.add(FOX, "fox.png", TEAM)

    await stage.files.delete(file.id, TEAM)

    assert stage.store.stored == {}
    with pytest.raises(ImageNotFound):
        await stage.files.delete(file.id, TEAM)


async def test_another_team_knows_nothing_of_it() -> None:
    stage = Stage()
    file = await stage.files.add(FOX, "fox.png", TEAM)

    for ask in (stage.files.describe, stage.files.delete):
        with pytest.raises(ImageNotFound):
            await ask(file.id, OTHERS)
    with pytest.raises(ImageNotFound):
        stage.files.owned_name(file.id, OTHERS)

    assert len(stage.store.stored) == 2


async def test_what_is_too_old_is_not_there_even_if_it_was_not_deleted_yet() -> None:
    stage = Stage()
    file = await stage.files.add(FOX, "fox.png", TEAM)
    stage.now += timedelta(seconds=60)

    with pytest.raises(ImageNotFound):
        await stage.files.describe(file.id, TEAM)
    with pytest.raises(ImageNotFound):
        await stage.pictures.read(file.stored.name)


@pytest.mark.parametrize(("asked", "kept", "seconds"), [(3600, 7200, 3600), (7200, 3600, 3600), (None, 60, 60)])
async def test_a_file_is_kept_as_long_as_its_caller_and_the_gateway_say(
    asked: int | None, kept: float, seconds: int
) -> None:
    stage = Stage(keep_seconds=kept)
    file = await stage.files.add(FOX, "fox.png", TEAM, asked)
    assert file.expires_at == int(NOON.timestamp()) + seconds

    stage.now += timedelta(seconds=seconds - 0.001)
    assert await stage.files.describe(file.id, TEAM) == file
    assert (await stage.files.page(TEAM, limit=9, descending=True, after=None)).files == [file]
    stage.now += timedelta(seconds=0.001)

    with pytest.raises(ImageNotFound):
        await stage.files.describe(file.id, TEAM)
    with pytest.raises(ImageNotFound):
        await stage.pictures.read(file.stored.name)
    assert (await stage.files.page(TEAM, limit=9, descending=True, after=None)).files == []


async def test_files_that_were_brought_are_listed_and_drawn_ones_are_not() -> None:
    stage = Stage()
    await stage.store.put(to_stored_name(new_image_id("search", "png", "0" * 32, GENERATED)), b"fox")
    first = await stage.files.add(FOX, "fox.png", TEAM)
    stage.store.now += timedelta(seconds=1)
    second = await stage.files.add(FOX, "owl.png", TEAM)
    await stage.files.add(FOX, "theirs.png", OTHERS)

    page = await stage.files.page(TEAM, limit=1, descending=True, after=None)
    rest = await stage.files.page(TEAM, limit=1, descending=True, after=second.id)

    assert (page.files, page.has_more) == ([second], True)
    assert (rest.files, rest.has_more) == ([first], False)
    await stage.files.delete(second.id, TEAM)
    again = await stage.files.page(TEAM, limit=2, descending=False, after=None)
    assert (again.files, again.has_more) == ([first], False)


@pytest.mark.parametrize(
    "after",
    [
        "",
        "file-1",
        "\x00",
        new_image_id("search", "png", "9" * 32, UPLOADED),
        new_image_id("ads", "png", "2" * 32, UPLOADED),
    ],
)
async def test_a_list_goes_on_behind_a_file_of_the_team_only(after: str) -> None:
    stage = Stage()
    for team in (TEAM, TEAM, OTHERS):
        await stage.files.add(FOX, "fox.png", team)

    with pytest.raises(InvalidValue, match="after") as refused:
        await stage.files.page(TEAM, limit=1, descending=True, after=after)

    assert refused.value.param == "after"


async def test_files_come_and_go_while_the_list_is_away() -> None:
    stage = Stage()
    stage.index.down = True

    file = await stage.files.add(FOX, "fox.png", TEAM)
    assert await stage.files.describe(file.id, TEAM) == file
    with pytest.raises(LedgerUnavailable):
        await stage.files.page(TEAM, limit=1, descending=True, after=None)
    await stage.files.delete(file.id, TEAM)

    assert stage.store.stored == {}
    assert stage.observer.events == [FileListOutdated(reason="The ledger of record does not answer.")] * 2


async def test_a_list_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    monkeypatch.setattr(file_listing, "WAIT_SECONDS", 0.001)
    monkeypatch.setattr(stage.index, "add", lambda _: asyncio.sleep(60))

    await stage.files.add(FOX, "fox.png", TEAM)

    assert stage.observer.events == [FileListOutdated(reason="The ledger of record does not answer.")]


@pytest.mark.parametrize(
    ("look", "reference", "code"),
    [
        (GIF, FOX, "unsupported_file_mimetype"),
        (None, Reference(param="file", digest="", stored_name=""), "empty_image_file"),
    ],
)
async def test_only_pictures_that_can_be_edited_are_kept(
    look: ImageInfo | None, reference: Reference, code: str
) -> None:
    stage = Stage(look)

    with pytest.raises(UnreadableFile) as refused:
        await stage.files.add(reference, "fox.gif", TEAM)

    assert (refused.value.param, refused.value.code, stage.store.stored) == ("file", code, {})


async def test_without_a_store_there_is_nothing_to_bring_or_to_find() -> None:
    stage = Stage(stored=False)

    with pytest.raises(InvalidValue, match="no picture store") as refused:
        await stage.files.add(FOX, "fox.png", TEAM)
    with pytest.raises(ImageNotFound):
        await stage.files.describe(new_image_id("search", "png", "0" * 32), TEAM)

    assert refused.value.param == "file"
    assert (await stage.files.page(TEAM, limit=1, descending=True, after=None)).files == ()


async def test_a_store_that_is_down_says_so() -> None:
    stage = Stage()
    stage.store.down = True

    with pytest.raises(StoreUnavailable):
        await stage.files.add(FOX, "fox.png", TEAM)


async def test_what_is_no_name_is_not_looked_for() -> None:
    with pytest.raises(ImageNotFound):
        await Stage().pictures.read("../secret")
