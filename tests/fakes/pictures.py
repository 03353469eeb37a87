"""A picture store in memory."""

import base64

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


class FakePictures:
    """Keeps at most `room` pictures; beyond that, and once `down` is set, it is unavailable."""

    def __init__(self, room: int = 1000) -> None:
        self.kept: dict[str, StoredPicture] = {}
        self.down = False
        self._room = room

    async def keep(self, name: str, picture: Picture) -> None:
        """Store under a name, once."""
        if self.down or len(self.kept) >= self._room:
            raise StoreUnavailable("The picture store does not answer.")
        body = base64.b64decode(bytes(picture.base64))
        self.kept.setdefault(name, StoredPicture(media_type=MEDIA_TYPES[name.rpartition(".")[2]], body=body))

    async def read(self, name: str) -> StoredPicture:
        """What was stored under that name."""
        if self.down:
            raise StoreUnavailable("The picture store does not answer.")
        if name not in self.kept:
            raise PictureNotFound("There is no such picture.")
        return self.kept[name]
