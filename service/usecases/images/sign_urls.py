"""Signatures of URLs of stored images, with keys that may be rotated while the gateway runs.

Rule: the first key signs, and every key checks. A removed key checks until the last URL that it signed has expired.
It does not check longer, because an owner of the removed key could sign new URLs.

Fails with: `ImageNotFound` for a URL that is wrong or expired.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.signed_urls import check_signature, sign


@dataclass(slots=True, kw_only=True)
class SignUrls:
    """Signs and checks URLs.

    Attributes:
        signing_keys: Returns the current keys.
        url_seconds: Seconds for which a URL is valid.
        now: Returns an aware UTC time.
        _retired: Unix seconds until which a removed key checks, by key.
    """

    signing_keys: Callable[[], Sequence[bytes]]
    url_seconds: int
    now: Callable[[], datetime]
    _keys: tuple[bytes, ...] = field(init=False)
    _retired: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._keys = tuple(self.signing_keys())

    def sign(self, name: str, expires: int) -> str:
        """Return the signature of a URL that expires at `expires`, in Unix seconds."""
        return sign(self._keys[0], name, expires)

    def check(self, name: str, expires: str, signature: str, now: int) -> int:
        """Return when a URL expires, in Unix seconds. Raises `ImageNotFound` unless it is signed and valid at `now`."""
        retired = (key for key, until in self._retired.items() if now < until)
        return check_signature((*self._keys, *retired), name, expires, signature, now)

    def reload_keys(self) -> None:
        """Read the changed keys, and retire those that are gone."""
        now, keys = int(self.now().timestamp()), tuple(self.signing_keys())
        removed = dict.fromkeys(self._keys, now + self.url_seconds + 1)  # one more, because `now` is rounded down
        self._retired = {
            key: until for key, until in (self._retired | removed).items() if key not in keys and now < until
        }
        self._keys = keys
