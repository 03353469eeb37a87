"""Keeps pictures in a folder, through the same interface that serves object stores.

Rule: raw bytes under the picture's name, whose ending says the format; a name is written once. Whatever the store does,
callers see `StoreUnavailable` or `PictureNotFound` and never a path.
"""

from pathlib import Path

import pybase64
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from service.domain.errors import PictureNotFound, StoreUnavailable
from service.domain.outcomes import Picture
from service.usecases.ports import StoredPicture

MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
}


class FolderPictures:
    """Pictures as files in one folder, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._store = LocalStore(folder)

    async def keep(self, name: str, picture: Picture) -> None:
        """Write a picture's bytes under its name; what stands there already stays."""
        try:
            body = pybase64.b64decode(picture.base64, validate=True)
            await self._store.put_async(name, body, mode="create")
        except AlreadyExistsError:
            return
        except (BaseError, OSError, ValueError):
            raise StoreUnavailable("The picture store did not take the picture. Ask for b64_json.") from None

    async def read(self, name: str) -> StoredPicture:
        """Read a picture by its name."""
        try:
            found = await self._store.get_async(name)
            body = await found.bytes_async()
        except FileNotFoundError:
            raise PictureNotFound("There is no such picture, or the link to it has expired.") from None
        except (BaseError, OSError):
            raise StoreUnavailable("The picture store does not answer.") from None
        ending = name.rpartition(".")[2]
        return StoredPicture(media_type=MEDIA_TYPES.get(ending, "application/octet-stream"), body=memoryview(body))
