"""Bring a kept picture to hand that a caller names by its id.

Rule: what a team may not have, what never was and what was forgotten is one and the same refusal, which names the
field. The picture is known by its bytes from here on, as if it had been sent along.
"""

from dataclasses import dataclass, replace

from service.domain.errors import ImageNotFound, InvalidValue
from service.domain.image_spec import Reference
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReferenceReader:
    """The use case, in the form of a reader of links. `max_bytes` is how large a picture may be."""

    images: ReadImages
    uploads: Uploads

    async def fetch(self, reference: Reference) -> Reference:
        """The reference with its bytes.

        Raises:
            InvalidValue: there is no such picture for this team.
            TooLarge: it is larger than pictures that are sent may be.
            StoreUnavailable: it cannot be read just now.
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
