"""What kept pictures are called, whose they are, and when they are forgotten.

Rule: an id is its team's mark, a letter for the format, and 32 random hex digits. The id of a file that its caller
lends for a time ends with that time in seconds. Everything else follows from the id, so that a picture is found by its
id in one read. Nothing here trusts an id or a name: what is not of our making, or of another team, is None, False or
left alone.
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
    r"(?:img_|file-)(?P<mark>[0-9a-f]{8})(?P<letter>[pjwgsx])[0-9a-f]{32}(?:-(?P<seconds>[1-9][0-9]{3,6}))?"
)
STORED = re.compile(rf"{ID.pattern}\.[a-z]{{3,4}}(?P<label>\.name)?(?P<unfinished>#\d+)?")
"""Everything that the gateway writes into a store, and what an interrupted write leaves in a folder."""

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
"""Letter → ending and media type."""

UNFINISHED_SECONDS = 3600  # no write takes that long
FILENAME_EXTRA_SECONDS = 3600  # so much longer than its picture, because it was written earlier
MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """Something in the store: its name there, its length in bytes, and when it was written."""

    name: str
    length: int
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file that a team brought: its id, what the caller called it, its length in bytes, and when it was written."""

    id: str
    filename: str
    length: int
    written_at: datetime


def new_image_id(team: str, output_format: str, random: str, kind: str = GENERATED, seconds: int | None = None) -> str:
    """An id for a picture of that team. `random`: 32 hex digits; `kind`: what the id begins with.

    With `seconds` (1000 to 9999999) the picture expires that long after it was written.
    """
    expiry = "" if seconds is None else f"-{seconds}"
    return f"{kind}{build_team_digest(team)}{LETTERS.get(output_format, UNKNOWN)}{random}{expiry}"


def build_team_digest(team: str) -> str:
    """The 8 hex digits that ids of this team have."""
    return hashlib.sha256(team.encode()).hexdigest()[:8]


def parse_team_digest(image_id: str) -> str:
    """The mark of the team that an id of ours belongs to."""
    match = ID.fullmatch(image_id)
    return match["mark"] if match else ""


def parse_lifetime(image_id: str) -> int | None:
    """How long the file of an id may be kept, if its caller said so."""
    match = ID.fullmatch(image_id)
    return int(match["seconds"]) if match and match["seconds"] else None


def to_stored_name(image_id: str) -> str:
    """What the picture of an id is called in the store and in links."""
    return f"{image_id}.{FORMS[_format_letter(image_id)][0]}"


def to_media_type(name: str) -> str:
    """The media type of the picture of that name."""
    return FORMS[_format_letter(name)][1]


def _format_letter(image_id: str) -> str:
    match = ID.match(image_id)
    return match["letter"] if match else UNKNOWN


def is_stored_name(name: str) -> bool:
    """Is it a name that a picture of ours can have?"""
    image_id = name.partition(".")[0]
    return ID.fullmatch(image_id) is not None and name == to_stored_name(image_id)


def owned_stored_name(team: str, image_id: str) -> str | None:
    """The name of a picture, if its id is of that team."""
    match = ID.fullmatch(image_id)
    return to_stored_name(image_id) if match and match["mark"] == build_team_digest(team) else None


def to_filename_key(name: str) -> str:
    """Where the store has what the caller called a picture that was brought."""
    return f"{name}{FILENAME_SUFFIX}"


def clean_filename(filename: str) -> str:
    """What a caller called a file: the last part of a path, without what cannot be printed."""
    last_part = re.split(r"[/\\]", filename)[-1]
    return "".join(character for character in last_part if character.isprintable())[:MAX_NAME_LENGTH]


def parse_upload_id(name: str) -> str | None:
    """The id of the file that was brought and has this name in the store; None for everything else there."""
    return name.partition(".")[0] if name.startswith(UPLOADED) and is_stored_name(name) else None


def is_expired(stored: StoredObject, now: datetime, keep_seconds: float) -> bool:
    """Has it been kept for as long as it may be?"""
    return (now - stored.written_at).total_seconds() >= lifetime_seconds(stored.name, keep_seconds)


def lifetime_seconds(name: str, keep_seconds: float) -> float:
    """How many seconds what has that name is kept: as many as its caller asked for, and at most `keep_seconds`."""
    match = STORED.fullmatch(name)
    if match is None:
        return keep_seconds
    seconds = min(keep_seconds, int(match["seconds"])) if match["seconds"] else keep_seconds
    if match["unfinished"]:
        return min(seconds, UNFINISHED_SECONDS)
    return seconds + FILENAME_EXTRA_SECONDS if match["label"] else seconds


def expired_names(objects: Iterable[StoredObject], now: datetime, keep_seconds: float) -> list[str]:
    """The names of what is to be deleted: ours, and too old. Writes that never ended go after an hour."""
    return [
        stored.name for stored in objects if STORED.fullmatch(stored.name) and is_expired(stored, now, keep_seconds)
    ]
