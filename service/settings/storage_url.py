"""Place of stored images: `STORAGE_URL`.

Rule: the address is a folder (a path or `file:///path`) or `s3://bucket/prefix`, without credentials.

Fails with: `SettingsError`, which shows no part of an address that may hold a secret.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from service.settings.http_urls import url_problem
from service.settings.yaml_file import SettingsError

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Folder on this machine, or a mounted one."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBucket:
    """Bucket of S3 or of a compatible service. `endpoint` is that service's address; None is Amazon."""

    name: str
    prefix: str
    endpoint: str | None

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


Storage = ImageFolder | ImageBucket


def read_storage(environment: Mapping[str, str]) -> Storage | None:
    """Read the place of stored images, or None without `STORAGE_URL`. Raises `SettingsError`."""
    text = environment.get("STORAGE_URL", "").strip()
    if not text:
        return None
    try:
        address = urlsplit(text)
    except ValueError:  # an open bracket
        raise SettingsError("STORAGE_URL: is not an address") from None
    match address.scheme:
        case "":
            return ImageFolder(Path(text))
        case "file":
            return _to_folder(address)
        case "s3":
            return _to_bucket(address, environment)
    raise SettingsError(f"STORAGE_URL: '{address.scheme}' is not offered; give a folder or s3://bucket/prefix")


def _to_folder(address: SplitResult) -> ImageFolder:
    if address.netloc not in {"", "localhost"} or not address.path.startswith("/"):
        raise SettingsError("STORAGE_URL: a file address has three slashes and a path, such as file:///srv/images")
    return ImageFolder(Path(unquote(address.path)))


def _to_bucket(address: SplitResult, environment: Mapping[str, str]) -> ImageBucket:
    if "@" in address.netloc or address.query or address.fragment:
        raise SettingsError(
            "STORAGE_URL: holds more than bucket and prefix; credentials go into AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    prefix = address.path.strip("/")
    if not BUCKET.fullmatch(address.netloc):
        raise SettingsError("STORAGE_URL: has no bucket that could be; give s3://bucket/prefix")
    if prefix and (not PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise SettingsError("STORAGE_URL: its prefix may have letters, digits and !_.*'()- between single slashes")
    return ImageBucket(name=address.netloc, prefix=prefix, endpoint=_endpoint(environment))


def _endpoint(environment: Mapping[str, str]) -> str | None:
    name = next((name for name in ENDPOINTS if environment.get(name)), None)
    if name is None:
        return None
    text = environment[name].strip()
    if wrong := url_problem(text):
        raise SettingsError(f"{name}: {wrong}")
    return text.rstrip("/")
