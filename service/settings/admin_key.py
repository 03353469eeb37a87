"""Reads the admin key, which opens `/admin/v1`, from the environment or from a file that it names.

Rule: nobody gets a key that can be guessed: short, well-known, patterned or borrowed ones stop the start with a
`SettingsError` that names the variable and the reason and never the value, and while running they are refused. Only the
key's digest leaves this module. No key at all switches the admin paths off.
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
    """The digest of the admin key, or None where there is none. `others` are secrets that have another job."""
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
    """Why a key could be guessed or not be sent, or None."""
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
    """A part of it, again and again?"""
    return any(key == (key[:size] * len(key))[: len(key)] for size in range(1, len(key) // 2 + 1))


def _is_sequence(key: str) -> bool:
    """Is most of it one character after its neighbour, as in abcdef or 987654?"""
    steps = [ord(second) - ord(first) for first, second in pairwise(key)]
    return sum(step in {-1, 0, 1} for step in steps) * 2 > len(steps)
