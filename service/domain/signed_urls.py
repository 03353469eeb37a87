"""Signed, expiring URLs of stored images.

Rule: the signature covers name and expiry, so that a URL cannot be guessed or changed.

Fails with: `ImageNotFound` for a URL that is wrong, altered or expired. The message does not say which of them.
"""

import hashlib
import hmac
from collections.abc import Sequence

from service.domain.errors import ImageNotFound
from service.domain.stored_images import is_stored_name

NOT_FOUND_MESSAGE = "There is no such picture, or the link to it has expired."


def sign(key: bytes, name: str, expires: int | str) -> str:
    """Return the signature of a URL. `expires` is in Unix seconds."""
    return hmac.new(key, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()


def check_signature(keys: Sequence[bytes], name: str, expires: str, signature: str, now: int) -> int:
    """Return the Unix seconds at which a URL expires.

    Raises:
        ImageNotFound: no key has signed the URL, or it has expired at `now`.
    """
    matches = [hmac.compare_digest(sign(key, name, expires).encode(), signature.encode()) for key in keys]
    if not any(matches) or not is_stored_name(name) or now >= int(expires):
        raise ImageNotFound(NOT_FOUND_MESSAGE)
    return int(expires)
