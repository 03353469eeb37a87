"""Reads the admin key, which opens `/admin/v1`, from the environment or from a file that it names.

Rule: nobody gets a key that can be guessed: short, well-known, patterned or borrowed ones stop the start with a
`SettingsError` that names the variable and the reason and never the value. Only the key's digest leaves this module.
No key at all switches the admin paths off.
"""

import re
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path

from service.domain.teams import digest_of
from service.settings.files import SettingsError

VARIABLE = "ADMIN_API_KEY"
FILE = "ADMIN_API_KEY_FILE"
SHORTEST = 32
FEWEST_CHARACTERS = 10
WELL_KNOWN = ("changeme", "change-me", "change_me", "password", "secret", "admin", "example", "0123456789", "qwerty")
SENDABLE = re.compile(r"[!-~]+")  # what a header can carry after `Bearer `


def read_admin_digest(environment: Mapping[str, str], taken: Collection[str] = ()) -> str | None:
    """The digest of the admin key, or None where there is none. `taken` are secrets that have another job."""
    found = _from_file(environment) if environment.get(FILE) else _given(environment)
    if found is None:
        return None
    name, key = found
    reason = weakness(key) or ("is already the key of something else" if key in taken else None)
    if reason:
        raise SettingsError(f"{name}: {reason}; `openssl rand -hex 32` makes one")
    return digest_of(key)


def _given(environment: Mapping[str, str]) -> tuple[str, str] | None:
    return (VARIABLE, environment[VARIABLE].strip()) if VARIABLE in environment else None


def _from_file(environment: Mapping[str, str]) -> tuple[str, str]:
    if environment.get(VARIABLE):
        raise SettingsError(f"{FILE}: stands beside {VARIABLE}; give one of them")
    try:
        return FILE, Path(environment[FILE]).read_text("utf-8").strip()
    except OSError as unreadable:
        raise SettingsError(f"{FILE}: cannot be read: {unreadable.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{FILE}: cannot be read: not a text") from None


def weakness(key: str) -> str | None:
    """Why a key could be guessed or not be sent, or None."""
    if len(key) < SHORTEST:
        return f"must have at least {SHORTEST} characters"
    if not SENDABLE.fullmatch(key):
        return "must be of letters, digits and signs of ASCII, without spaces"
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
