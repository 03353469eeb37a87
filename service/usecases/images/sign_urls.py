"""Sign links to kept pictures, and check them, with keys that may become others while running.

Rule: the first key signs, and each checks. A key that is taken away still checks what it may have signed: until the
last of its links has expired, and not longer, because whoever has it could make new ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.signed_urls import check_signature, sign


@dataclass(slots=True, kw_only=True)
class SignUrls:
    """The use case. `signing_keys` gives the keys, `now` an aware UTC time; a link is valid for `url_seconds`."""

    signing_keys: Callable[[], Sequence[bytes]]
    url_seconds: int
    now: Callable[[], datetime]
    _keys: tuple[bytes, ...] = field(init=False)
    _retired: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with the keys that there are."""
        self._keys = tuple(self.signing_keys())

    def sign(self, name: str, expires: int) -> str:
        """The signature of a link that is good until `expires`, in Unix seconds."""
        return sign(self._keys[0], name, expires)

    def check(self, name: str, expires: str, signature: str, now: int) -> int:
        """Until when a link is good, in Unix seconds. Raises `ImageNotFound` unless it is ours and good at `now`."""
        retired = (key for key, until in self._retired.items() if now < until)
        return check_signature((*self._keys, *retired), name, expires, signature, now)

    def reload_keys(self) -> None:
        """The keys have become others."""
        now, keys = int(self.now().timestamp()), tuple(self.signing_keys())
        removed = dict.fromkeys(self._keys, now + self.url_seconds + 1)  # the second that is under way counts as well
        self._retired = {
            key: until for key, until in (self._retired | removed).items() if key not in keys and now < until
        }
        self._keys = keys
