"""Reads the admin key, which opens `/admin/v1`, from the environment or from a file that it names.

Rule: nobody gets a key that can be guessed: short, well-known, patterned or borrowed ones stop the start with a
`SettingsError` that names the variable and the reason and never the value, and while running they are refused. Only the
key's digest leaves this module. No key at all switches the admin paths off.
"""

from collections.abc import Collection, Mapping
from itertools import pairwise

from service.domain.teams import digest_of
from service.settings.files import SettingsError
from service.settings.given import SENDABLE, UNSENDABLE, AnySecret, Secret, one_line, read_secret

VARIABLE = "ADMIN_API_KEY"
SHORTEST = 32
FEWEST_CHARACTERS = 10
WELL_KNOWN = ("changeme", "change-me", "change_me", "password", "secret", "admin", "example", "0123456789", "qwerty")
ADVICE = "; `openssl rand -hex 32` makes one"
TAKEN = "is already the key of something else" + ADVICE
TEAMS = "is the key of a team as well; `openssl rand -hex 32` makes another"
ADMINS = "is the admin key as well"


def read_admin_digest(environment: Mapping[str, str], others: Collection[AnySecret] = ()) -> Secret[str] | None:
    """The digest of the admin key, or None where there is none. `others` are secrets that have another job."""
    found = read_secret(environment, VARIABLE, _digest, blank_is_none=False)
    if found is None:
        return None
    found.refuse_if(lambda digests: TAKEN if any(digests & other.digests for other in others) else None)
    for other in others:
        other.refuse_if(lambda digests: ADMINS if digests & found.digests else None)
    return found


def _digest(text: str) -> str:
    key = one_line(text.strip())
    reason = weakness(key)
    if reason:
        raise SettingsError(reason + ADVICE)
    return digest_of(key)


def weakness(key: str) -> str | None:
    """Why a key could be guessed or not be sent, or None."""
    if len(key) < SHORTEST:
        return f"must have at least {SHORTEST} characters"
    if not SENDABLE.fullmatch(key):
        return UNSENDABLE
    known = next((word for word in WELL_KNOWN if word in key.lower()), None)
    if known:
        return f"is well known or follows a pattern: contains '{known}'"
    if len(set(key)) < FEWEST_CHARACTERS or _is_repetition(key) or _is_sequence(key):
        return "is well known or follows a pattern"
    return None


def _is_repetition(key: str) -> bool:
    """A part of it, again and again?"""
    return any(key == (key[:size] * len(key))[: len(key)] for size in range(1, len(key) // 2 + 1))


def _is_sequence(key: str) -> bool:
    """Is most of it one character after its neighbour, as in abcdef or 987654?"""
    steps = [ord(second) - ord(first) for first, second in pairwise(key)]
    return sum(step in {-1, 0, 1} for step in steps) * 2 > len(steps)
