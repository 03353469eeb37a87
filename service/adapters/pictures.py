"""Keeps pictures in a folder or in a bucket of an object store, through one interface.

Rule: raw bytes under the picture's name, whose ending says the format; a name is written once. Whatever the store does,
callers see `StoreUnavailable` or `PictureNotFound` and never a path. A store that says nothing for `ANSWER_SECONDS` is
left alone for `PAUSE_SECONDS`: who asks meanwhile is told at once.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from service.adapters.pause import Pause
from service.adapters.picture_problems import cause_of
from service.domain.errors import PictureNotFound, StoreUnavailable
from service.domain.kept import Kept, media_type_of
from service.domain.links import NOWHERE
from service.domain.outcomes import Buffer
from service.domain.ranges import Part
from service.usecases.ports import StoredPicture

ANSWER_SECONDS = 4.0
PAUSE_SECONDS = 5.0
BYTES_PER_SECOND = 2_000_000  # a store that takes less than that hangs
PIECE_BYTES = 1_048_576
BATCH = 1000
CONNECT = timedelta(seconds=2)
WHOLE_TRANSFER = timedelta(seconds=600)  # a caller may read slowly
RETRIES: dict[str, Any] = {"max_retries": 1, "retry_timeout": timedelta(seconds=ANSWER_SECONDS)}

SILENT = "The picture store does not answer."
TIMEOUT = "it did not answer in time"
LEFT_ALONE = f"it did not answer in time before, and is asked again after {PAUSE_SECONDS:g} s"
REFUSED = "The picture store did not take the picture. Ask for b64_json."


class ObjectPictures:
    """Pictures in a store of obstore's. `typed`: it keeps media types beside the bytes. `patience` is in seconds."""

    def __init__(self, store: Any, *, typed: bool, patience: float) -> None:  # noqa: ANN401 (obstore has no types)
        self._store = store
        self._typed = typed
        self._patience = patience
        self._pause = Pause(PAUSE_SECONDS)

    async def keep(self, name: str, body: Buffer) -> None:
        """Write bytes under a name; what stands there already stays."""
        attributes = {"Content-Type": media_type_of(name)} if self._typed else None
        try:
            async with self._asked(REFUSED, len(body)):
                await self._store.put_async(name, body, mode="create", use_multipart=False, attributes=attributes)
        except AlreadyExistsError:
            return
        except PictureNotFound as missing:  # the bucket is not there
            raise StoreUnavailable(REFUSED, cause=missing.cause) from None

    async def find(self, name: str) -> Kept:
        """What is known of a picture."""
        async with self._asked(SILENT):
            return kept(await self._store.head_async(name))

    async def read(self, name: str, part: Part | None = None) -> StoredPicture:
        """A picture, or a part of it, by its name."""
        options = {"range": (part.start, part.end)} if part else {}
        async with self._asked(SILENT):
            found = await self._store.get_async(name, options=options)
        return StoredPicture(kept=kept(found.meta), pieces=self._pieces(found.stream(PIECE_BYTES)))

    async def _pieces(self, stream: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
        while True:
            async with self._asked(SILENT):
                piece = await anext(stream, None)
            if piece is None:
                return
            yield memoryview(piece)

    async def listed(self) -> AsyncIterator[Sequence[Kept]]:
        """Everything below the prefix."""
        stream = self._store.list(chunk_size=BATCH)
        while True:
            async with self._asked(SILENT):
                batch = await anext(stream, None)
            if batch is None:
                return
            yield [kept(meta) for meta in batch]

    async def forget(self, names: Sequence[str]) -> None:
        """Delete them all."""
        try:
            async with self._asked(SILENT):
                await self._store.delete_async(list(names))
        except PictureNotFound as missing:  # the bucket is not there
            raise StoreUnavailable(SILENT, cause=missing.cause) from None

    @asynccontextmanager
    async def _asked(self, message: str, length: int = 0) -> AsyncIterator[None]:
        """Around one question to the store."""
        if self._pause.is_on():
            raise StoreUnavailable(message, cause=LEFT_ALONE)
        try:
            async with asyncio.timeout(self._patience + length / BYTES_PER_SECOND):
                with speaking(message):
                    yield
        except TimeoutError:
            self._pause.begin()
            raise StoreUnavailable(message, cause=TIMEOUT) from None
        self._pause.end()


class FolderPictures(ObjectPictures):
    """Pictures as files in one folder, which is made if it is not there. Raises `OSError` where it cannot be made."""

    def __init__(self, folder: Path, patience: float = ANSWER_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(LocalStore(folder), typed=False, patience=patience)
        self._folder = folder

    async def listed(self) -> AsyncIterator[Sequence[Kept]]:
        """Every file in the folder; obstore would not show those of interrupted writes."""
        with speaking(SILENT):
            found = await asyncio.to_thread(_files, self._folder)
        for start in range(0, len(found), BATCH):
            yield found[start : start + BATCH]

    async def forget(self, names: Sequence[str]) -> None:
        """Delete them all; obstore would not take the names of interrupted writes."""
        with speaking(SILENT):
            await asyncio.to_thread(_delete, self._folder, names)


def bucket_pictures(name: str, prefix: str, endpoint: str | None, patience: float = ANSWER_SECONDS) -> ObjectPictures:
    """Pictures in a bucket of S3 or of anything like it.

    Region and credentials are obstore's business: it looks where every client of S3 looks, the environment first.
    Raises `ValueError` for what it cannot use.
    """
    settings: dict[str, Any] = {
        "prefix": prefix or None,
        "client_options": {"connect_timeout": CONNECT, "timeout": WHOLE_TRANSFER, "allow_http": bool(endpoint)},
        "retry_config": RETRIES,
    }
    if endpoint:
        settings["endpoint"] = endpoint
    try:
        store = S3Store(name, **settings)
    except BaseError as wrong:
        raise ValueError(str(wrong).partition("\n")[0]) from None
    return ObjectPictures(store, typed=True, patience=patience)


@contextmanager
def speaking(message: str) -> Iterator[None]:
    """Turns what stores raise into what callers may see."""
    try:
        yield
    except (TimeoutError, AlreadyExistsError):
        raise
    except FileNotFoundError as missing:
        raise PictureNotFound(NOWHERE, cause=cause_of(missing)) from None
    except (BaseError, OSError) as error:
        raise StoreUnavailable(message, cause=cause_of(error)) from None


def kept(meta: Any) -> Kept:  # noqa: ANN401 (obstore has no types at run time)
    """What obstore tells of an object."""
    return Kept(name=meta["path"], length=meta["size"], at=meta["last_modified"])


def _files(folder: Path) -> list[Kept]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # somebody else was faster
                seen = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False):
                    at = datetime.fromtimestamp(seen.st_mtime, UTC)
                    found.append(Kept(name=entry.name, length=seen.st_size, at=at))
    return found


def _delete(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
