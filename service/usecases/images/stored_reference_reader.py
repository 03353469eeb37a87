"""Stored images that callers name by an id as input of an edit.

Rule: an image of another team, a wrong id and a deleted image get one refusal. The image is copied into an upload.
Its bytes identify it, as if the caller had sent it.

Fails with: `InvalidValue` or `TooLarge`, which name the field; `StoreUnavailable`.
"""

from dataclasses import dataclass, replace

from service.domain.errors import ImageNotFound, InvalidValue
from service.domain.image_spec import Reference
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReferenceReader:
    """The port `ReferenceFetcher` for images of the gateway's own store."""

    images: ReadImages
    uploads: Uploads

    async def fetch(self, reference: Reference) -> Reference:
        """Return the reference with its bytes.

        Raises:
            InvalidValue: the team has no such image.
            TooLarge: the image is larger than an uploaded image may be.
            StoreUnavailable: the store does not answer.
        """
        upload = self.uploads.new_spool().begin(reference.param)
        try:
            content = await self.images.read(reference.stored_name or "")
        except ImageNotFound:
            text = f"{reference.param}: there is no such file, or it is not kept any more."
            raise InvalidValue(text, param=reference.param, code="file_not_found") from None
        async for chunk in content.chunks:
            upload.write(chunk)
        fetched = upload.finish()
        return replace(reference, digest=fetched.digest, content=fetched.content, stored_name=None)
