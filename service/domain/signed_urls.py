"""Links to kept pictures: signed, so that they cannot be guessed, and expiring.

Rule: the signature covers name and expiry; a link that is wrong, altered or too old is `ImageNotFound`, and nothing
says which.
"""

import hashlib
import hmac
from collections.abc import Sequence

from service.domain.errors import ImageNotFound
from service.domain.stored_images import is_stored_name

NOT_FOUND_MESSAGE = "There is no such picture, or the link to it has expired."


def sign(key: bytes, name: str, expires: int | str) -> str:
    """The signature of a link; `expires` is in Unix seconds."""
    return hmac.new(key, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()


def check_signature(keys: Sequence[bytes], name: str, expires: str, signature: str, now: int) -> int:
    """Until when a link is good, in Unix seconds.

    Raises:
        ImageNotFound: it is not signed with one of the keys, or not good at `now`.
    """
    matches = [hmac.compare_digest(sign(key, name, expires).encode(), signature.encode()) for key in keys]
    if not any(matches) or not is_stored_name(name) or now >= int(expires):
        raise ImageNotFound(NOT_FOUND_MESSAGE)
    return int(expires)
