"""Secrets that the gateway makes itself, and keeps in its data folder.

Rule: made at the first start and read at every other; only their owner may read them. Where there is no data folder
they have to be given, or last as long as the process.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from service.settings.gateway import GatewaySettings
from service.settings.secret_sources import read_file
from service.settings.yaml_file import SettingsError


def check_signing_keys(settings: GatewaySettings, *, alone: bool) -> None:
    """Raise `SettingsError` where each of several replicas would sign picture links with a key of its own."""
    if settings.storage and not alone and not settings.signing_keys:
        raise SettingsError("URL_SIGNING_KEY: needed with STORAGE_URL, so that replicas trust each other's links")


def signing_keys_source(settings: GatewaySettings, data: Path | None) -> Callable[[], Sequence[bytes]]:
    """What says the keys of picture links: the given ones, or one that was made once and is kept in the data folder."""
    if settings.signing_keys:
        return settings.signing_keys
    generated = read_or_create_secret(data / "signing-key").encode() if data else secrets.token_bytes(32)
    return lambda: (generated,)


def read_or_create_secret(file: Path, prefix: str = "") -> str:
    """A secret that is made at the first start and read at the next; only its owner may read it.

    Raises `SettingsError` where it can neither be made nor read.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return read_file(file)
        with os.fdopen(descriptor, "w") as new:
            new.write(secret := prefix + secrets.token_urlsafe(32))
    except SettingsError as creation_error:
        raise SettingsError(f"DATA_DIR: {file}: {creation_error}") from None
    except (OSError, ValueError) as read_error:
        raise SettingsError(f"DATA_DIR: {file} cannot be made: {read_error}") from None
    return secret
