"""Stored images, in a folder or in a bucket of an object store.

Rule: an object holds raw bytes under the image's name, and the name's ending is the format. A name is written once.
obstore has the parts of an error as text only. This module passes on the status, the code of S3, the request's id and
the errno. The rest is left out, because it holds addresses.

Fails with: `StoreUnavailable` or `ImageNotFound`, without a path. After a timeout the store is not called for
`COOLDOWN_SECONDS`, and each call fails at once.
"""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from service.adapters.cooldown import Cooldown
from service.domain.byte_ranges import ByteRange
from service.domain.errors import ImageNotFound, StoreUnavailable
from service.domain.generation import Buffer
from service.domain.signed_urls import NOT_FOUND_MESSAGE
from service.domain.stored_images import StoredObject, to_media_type
from service.usecases.ports.image_store import ImageStore, StoredContent

TIMEOUT_SECONDS = 4.0
COOLDOWN_SECONDS = 5.0
BYTES_PER_SECOND = 2_000_000  # a slower store counts as hanging
CHUNK_BYTES = 1_048_576
LIST_BATCH = 1000
CONNECT_TIMEOUT = timedelta(seconds=2)
TRANSFER_TIMEOUT = timedelta(seconds=600)  # long, because a caller may read slowly
RETRIES: dict[str, Any] = {"max_retries": 1, "retry_timeout": timedelta(seconds=TIMEOUT_SECONDS)}

NOT_ANSWERING = "The image store does not answer."
TIMED_OUT = "it did not answer in time"
COOLING_DOWN = f"it did not answer in time before, and is asked again after {COOLDOWN_SECONDS:g} s"
NOT_STORED = "The image store did not take the image. Ask for b64_json."


class ObjectImageStore(ImageStore):
    """Images in a store of obstore. `stores_media_types`: the store has a media type for each object."""

    def __init__(self, store: Any, *, stores_media_types: bool, timeout_seconds: float) -> None:  # noqa: ANN401 (obstore has no types)
        self._store = store
        self._typed = stores_media_types
        self._timeout_seconds = timeout_seconds
        self._cooldown = Cooldown(COOLDOWN_SECONDS)

    async def put(self, name: str, body: Buffer) -> None:
        attributes = {"Content-Type": to_media_type(name)} if self._typed else None
        try:
            async with self._store_call(NOT_STORED, len(body)):
                await self._store.put_async(name, body, mode="create", use_multipart=False, attributes=attributes)
        except AlreadyExistsError:
            return
        except ImageNotFound as missing:  # the bucket does not exist
            raise StoreUnavailable(NOT_STORED, cause=missing.cause) from None

    async def stat(self, name: str) -> StoredObject:
        async with self._store_call(NOT_ANSWERING):
            return to_stored_object(await self._store.head_async(name))

    async def read(self, name: str, byte_range: ByteRange | None = None) -> StoredContent:
        options = {"range": (byte_range.start, byte_range.end)} if byte_range else {}
        async with self._store_call(NOT_ANSWERING):
            object_ = await self._store.get_async(name, options=options)
        return StoredContent(stored=to_stored_object(object_.meta), chunks=self._chunks(object_.stream(CHUNK_BYTES)))

    async def _chunks(self, stream: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
        while True:
            async with self._store_call(NOT_ANSWERING):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield memoryview(chunk)

    async def list_all(self) -> AsyncIterator[Sequence[StoredObject]]:
        stream = self._store.list(chunk_size=LIST_BATCH)
        while True:
            async with self._store_call(NOT_ANSWERING):
                batch = await anext(stream, None)
            if batch is None:
                return
            yield [to_stored_object(meta) for meta in batch]

    async def delete(self, names: Sequence[str]) -> None:
        try:
            async with self._store_call(NOT_ANSWERING):
                await self._store.delete_async(list(names))
        except ImageNotFound as missing:  # the bucket does not exist
            raise StoreUnavailable(NOT_ANSWERING, cause=missing.cause) from None

    @asynccontextmanager
    async def _store_call(self, message: str, length: int = 0) -> AsyncIterator[None]:
        """Run one call of the store, with its timeout and cooldown."""
        if self._cooldown.is_active():
            raise StoreUnavailable(message, cause=COOLING_DOWN)
        try:
            async with asyncio.timeout(self._timeout_seconds + length / BYTES_PER_SECOND):
                with translate_errors(message):
                    yield
        except TimeoutError:
            self._cooldown.start()
            raise StoreUnavailable(message, cause=TIMED_OUT) from None
        self._cooldown.end()


class FolderImageStore(ObjectImageStore):
    """Images as files in one folder, which is made if it is missing. Raises `OSError` if it cannot be made."""

    def __init__(self, folder: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(LocalStore(folder), stores_media_types=False, timeout_seconds=timeout_seconds)
        self._folder = folder

    async def list_all(self) -> AsyncIterator[Sequence[StoredObject]]:
        """List every file in the folder. obstore would leave out files of interrupted writes."""
        with translate_errors(NOT_ANSWERING):
            objects = await asyncio.to_thread(_list_files, self._folder)
        for start in range(0, len(objects), LIST_BATCH):
            yield objects[start : start + LIST_BATCH]

    async def delete(self, names: Sequence[str]) -> None:
        """Delete files. obstore would refuse the names of interrupted writes."""
        with translate_errors(NOT_ANSWERING):
            await asyncio.to_thread(_delete_files, self._folder, names)


def build_bucket_store(
    name: str, prefix: str, endpoint: str | None, timeout_seconds: float = TIMEOUT_SECONDS
) -> ObjectImageStore:
    """Build a store of images in a bucket of S3 or a compatible server.

    obstore finds region and credentials, as every client of S3 does: in the environment first. Raises `ValueError` for
    unusable settings.
    """
    settings: dict[str, Any] = {
        "prefix": prefix or None,
        "client_options": {
            "connect_timeout": CONNECT_TIMEOUT,
            "timeout": TRANSFER_TIMEOUT,
            "allow_http": bool(endpoint),
        },
        "retry_config": RETRIES,
    }
    if endpoint:
        settings["endpoint"] = endpoint
    try:
        store = S3Store(name, **settings)
    except BaseError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    return ObjectImageStore(store, stores_media_types=True, timeout_seconds=timeout_seconds)


@contextmanager
def translate_errors(message: str) -> Iterator[None]:
    """Convert errors of stores to errors for callers."""
    try:
        yield
    except (TimeoutError, AlreadyExistsError):
        raise
    except FileNotFoundError as missing:
        raise ImageNotFound(NOT_FOUND_MESSAGE, cause=describe_cause(missing)) from None
    except (BaseError, OSError) as error:
        raise StoreUnavailable(message, cause=describe_cause(error)) from None


def to_stored_object(meta: Any) -> StoredObject:  # noqa: ANN401 (obstore has no types at run time)
    """Convert obstore's metadata of an object."""
    return StoredObject(name=meta["path"], length=meta["size"], written_at=meta["last_modified"])


def _list_files(folder: Path) -> list[StoredObject]:
    objects = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # deleted meanwhile
                stat = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False):
                    at = datetime.fromtimestamp(stat.st_mtime, UTC)
                    objects.append(StoredObject(name=entry.name, length=stat.st_size, written_at=at))
    return objects


def _delete_files(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


STATUS = re.compile(r"status code: (\d{3})")
CODE = re.compile(r"<Code>(\w{1,64})</Code>")
REQUEST = re.compile(r"<RequestId>([\w-]{1,64})</RequestId>")
SYSTEM = re.compile(r"\bcode: (\d{1,3}),")
CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
TEXT_BY_SIGN: Sequence[tuple[str, str]] = (
    ("BareRedirect", "it redirects without an address; the region may be wrong"),
    ("dns error", "DNS does not know its name"),
    ("InvalidContentType", "it does not speak TLS"),
    ("kind: Timeout", "it did not answer in time"),
)


def describe_cause(error: BaseException) -> str:
    """Describe an error of obstore or of the system in one line."""
    if isinstance(error, OSError) and error.errno is not None:
        return _system(error.errno)
    text = str(error)
    if status := STATUS.search(text):
        code, request = CODE.search(text), REQUEST.search(text)
        parts = (f"status {status[1]}", code and code[1], request and f"request {request[1]}")
        return ", ".join(filter(None, parts))
    if number := SYSTEM.search(text):
        return _system(int(number[1]))
    if certificate := CERTIFICATE.search(text):
        return f"TLS does not trust its certificate ({certificate[1]})"
    return next((words for sign, words in TEXT_BY_SIGN if sign in text), type(error).__name__)


def _system(number: int) -> str:
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
