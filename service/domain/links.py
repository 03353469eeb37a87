"""Links to kept pictures: signed, so that they cannot be guessed, and expiring.

Rule: the signature covers name and expiry; a link that is wrong, altered or too old is `PictureNotFound`, and nothing
says which.
"""

import hashlib
import hmac
import re

from service.domain.errors import PictureNotFound

NAME = re.compile(r"img_[0-9a-f]{40}\.[a-z]{3,4}")


def picture_id(team: str, random: str) -> str:
    """A picture's id: its team's mark, then 32 random hex digits."""
    return f"img_{hashlib.sha256(team.encode()).hexdigest()[:8]}{random}"


def sign(key: bytes, name: str, expires: int | str) -> str:
    """The signature of a link; `expires` is in Unix seconds."""
    return hmac.new(key, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()


def check_link(key: bytes, name: str, expires: str, signature: str, now: int) -> int:
    """Until when a link is good, in Unix seconds. Raises `PictureNotFound` unless it is ours and good at `now`."""
    genuine = hmac.compare_digest(sign(key, name, expires).encode(), signature.encode())
    if not genuine or not NAME.fullmatch(name) or now >= int(expires):
        raise PictureNotFound("There is no such picture, or the link to it has expired.")
    return int(expires)
