"""Ids and names of stored images and files, their owners, and their expiry.

Rule: an id is the digest of its team, a letter for the format, and 32 random hex digits. The id of a file with a
lifetime ends with that lifetime in seconds. All other values follow from the id, so that an image needs one read. No
function trusts an id or a name. Pure.

Fails with: nothing; for a foreign id or name the result is None, False or empty.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

GENERATED = "img_"
FILENAME_SUFFIX = ".name"
UPLOADED = "file-"

ID = re.compile(
    r"(?:img_|file-)(?P<team>[0-9a-f]{8})(?P<letter>[pjwgsx])[0-9a-f]{32}(?:-(?P<seconds>[1-9][0-9]{3,6}))?"
)
STORED = re.compile(rf"{ID.pattern}\.[a-z]{{3,4}}(?P<label>\.name)?(?P<unfinished>#\d+)?")
"""Every name that the gateway writes into a store, and what an interrupted write leaves in a folder."""

LETTERS: Mapping[str, str] = {"png": "p", "jpeg": "j", "webp": "w", "gif": "g", "svg": "s"}
UNKNOWN = "x"
FORMS: Mapping[str, tuple[str, str]] = {
    "p": ("png", "image/png"),
    "j": ("jpg", "image/jpeg"),
    "w": ("webp", "image/webp"),
    "g": ("gif", "image/gif"),
    "s": ("svg", "image/svg+xml"),
    UNKNOWN: ("bin", "application/octet-stream"),
}
"""Extension and media type by letter."""

UNFINISHED_SECONDS = 3600  # no write takes that long
FILENAME_EXTRA_SECONDS = 3600  # longer than its image, because it was written earlier
MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object in the store. `length` is in bytes."""

    name: str
    length: int
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file of a team. `filename` is the caller's name for it, `length` is in bytes."""

    id: str
    filename: str
    length: int
    written_at: datetime


def new_image_id(team: str, output_format: str, random: str, kind: str = GENERATED, seconds: int | None = None) -> str:
    """Build an id for an image of a team.

    Args:
        team: Name of the team.
        output_format: Format of the image.
        random: 32 hex digits.
        kind: The beginning of the id.
        seconds: Lifetime of the image after it was written, 1000 to 9999999; None has no lifetime of its own.
    """
    expiry = "" if seconds is None else f"-{seconds}"
    return f"{kind}{build_team_digest(team)}{LETTERS.get(output_format, UNKNOWN)}{random}{expiry}"


def build_team_digest(team: str) -> str:
    """Return the 8 hex digits in all ids of a team."""
    return hashlib.sha256(team.encode()).hexdigest()[:8]


def parse_team_digest(image_id: str) -> str:
    """Return the digest of the team that an id belongs to; empty for a foreign id."""
    match = ID.fullmatch(image_id)
    return match["team"] if match else ""


def parse_lifetime(image_id: str) -> int | None:
    """Return the lifetime of a file in seconds; None if its caller asked for none."""
    match = ID.fullmatch(image_id)
    return int(match["seconds"]) if match and match["seconds"] else None


def to_stored_name(image_id: str) -> str:
    """Return the name of an image in the store and in links."""
    return f"{image_id}.{FORMS[_format_letter(image_id)][0]}"


def to_media_type(name: str) -> str:
    """Return the media type of the image of that name."""
    return FORMS[_format_letter(name)][1]


def _format_letter(image_id: str) -> str:
    match = ID.match(image_id)
    return match["letter"] if match else UNKNOWN


def is_stored_name(name: str) -> bool:
    """Tell whether the gateway can have given an image this name."""
    image_id = name.partition(".")[0]
    return ID.fullmatch(image_id) is not None and name == to_stored_name(image_id)


def owned_stored_name(team: str, image_id: str) -> str | None:
    """Return the stored name of an image if its id is of that team."""
    match = ID.fullmatch(image_id)
    return to_stored_name(image_id) if match and match["team"] == build_team_digest(team) else None


def to_filename_key(name: str) -> str:
    """Return the name under which the store has the caller's filename of a file."""
    return f"{name}{FILENAME_SUFFIX}"


def clean_filename(filename: str) -> str:
    """Return the last part of a caller's path, without unprintable characters."""
    last_part = re.split(r"[/\\]", filename)[-1]
    return "".join(character for character in last_part if character.isprintable())[:MAX_NAME_LENGTH]


def parse_upload_id(name: str) -> str | None:
    """Return the id of the uploaded file with this stored name; None for any other object."""
    return name.partition(".")[0] if name.startswith(UPLOADED) and is_stored_name(name) else None


def is_expired(stored: StoredObject, now: datetime, keep_seconds: float) -> bool:
    """Tell whether an object has reached the end of its lifetime."""
    return (now - stored.written_at).total_seconds() >= lifetime_seconds(stored.name, keep_seconds)


def lifetime_seconds(name: str, keep_seconds: float) -> float:
    """Return the lifetime of an object in seconds: as its caller asked, and at most `keep_seconds`."""
    match = STORED.fullmatch(name)
    if match is None:
        return keep_seconds
    seconds = min(keep_seconds, int(match["seconds"])) if match["seconds"] else keep_seconds
    if match["unfinished"]:
        return min(seconds, UNFINISHED_SECONDS)
    return seconds + FILENAME_EXTRA_SECONDS if match["label"] else seconds


def expired_names(objects: Iterable[StoredObject], now: datetime, keep_seconds: float) -> list[str]:
    """Return the names of the gateway's objects that have expired. Unfinished writes expire after an hour."""
    return [
        stored.name for stored in objects if STORED.fullmatch(stored.name) and is_expired(stored, now, keep_seconds)
    ]
