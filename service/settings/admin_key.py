"""Admin key, which opens `/admin/v1`, from ADMIN_API_KEY or from a file.

Rule: only the key's digest leaves this module. Without a key the admin API is off.

Fails with: `SettingsError` for a key that is short, well known, patterned or used for something else. The message names
the variable and the reason, never the key. While the gateway runs, such a key is refused and the key before stays.
"""

from collections.abc import Collection, Mapping
from itertools import pairwise

from service.domain.team_access import key_digest
from service.settings.secret_sources import HEADER_SAFE, NOT_HEADER_SAFE, AnySecret, Secret, read_secret, single_line
from service.settings.yaml_file import SettingsError

ADMIN_KEY_VARIABLE = "ADMIN_API_KEY"
MIN_LENGTH = 32
MIN_DISTINCT_CHARACTERS = 10
WELL_KNOWN = ("changeme", "change-me", "change_me", "password", "secret", "admin", "example", "0123456789", "qwerty")
ADVICE = "; `openssl rand -hex 32` makes one"
SAME_AS_OTHER_SECRET = "is already the key of something else" + ADVICE
SAME_AS_TEAM_KEY = "is the key of a team as well; `openssl rand -hex 32` makes another"
SAME_AS_ADMIN_KEY = "is the admin key as well"


def read_admin_digest(environment: Mapping[str, str], others: Collection[AnySecret] = ()) -> Secret[str] | None:
    """Read the digest of the admin key, or None without a key. `others` are secrets that it must differ from."""
    secret = read_secret(environment, ADMIN_KEY_VARIABLE, _digest, blank_is_none=False)
    if secret is None:
        return None
    secret.reject_if(lambda digests: SAME_AS_OTHER_SECRET if any(digests & other.digests for other in others) else None)
    for other in others:
        other.reject_if(lambda digests: SAME_AS_ADMIN_KEY if digests & secret.digests else None)
    return secret


def _digest(text: str) -> str:
    key = single_line(text.strip())
    reason = find_weakness(key)
    if reason:
        raise SettingsError(reason + ADVICE)
    return key_digest(key)


def find_weakness(key: str) -> str | None:
    """Return the reason why a key could be guessed or cannot be sent, or None."""
    if len(key) < MIN_LENGTH:
        return f"must have at least {MIN_LENGTH} characters"
    if not HEADER_SAFE.fullmatch(key):
        return NOT_HEADER_SAFE
    known = next((word for word in WELL_KNOWN if word in key.lower()), None)
    if known:
        return f"is well known or follows a pattern: contains '{known}'"
    if len(set(key)) < MIN_DISTINCT_CHARACTERS or _is_repetition(key) or _is_sequence(key):
        return "is well known or follows a pattern"
    return None


def _is_repetition(key: str) -> bool:
    # One part of the key, repeated.
    return any(key == (key[:size] * len(key))[: len(key)] for size in range(1, len(key) // 2 + 1))


def _is_sequence(key: str) -> bool:
    # More than half of the characters follow their neighbours, as in abcdef or 987654.
    steps = [ord(second) - ord(first) for first, second in pairwise(key)]
    return sum(step in {-1, 0, 1} for step in steps) * 2 > len(steps)
