"""Secrets that the gateway generates and stores in its data folder.

Rule: the first start generates a secret, and every later start reads it. Only its owner may read the file. Without a
data folder a generated secret lasts as long as the process.

Fails with: `SettingsError`, if the file can neither be created nor read.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from service.settings.gateway import GatewaySettings
from service.settings.secret_sources import read_file
from service.settings.yaml_file import SettingsError


def check_signing_keys(settings: GatewaySettings, *, alone: bool) -> None:
    """Raise `SettingsError` if several replicas would each sign image URLs with a key of their own."""
    if settings.storage and not alone and not settings.signing_keys:
        raise SettingsError("URL_SIGNING_KEY: needed with STORAGE_URL, so that replicas trust each other's links")


def signing_keys_source(settings: GatewaySettings, data: Path | None) -> Callable[[], Sequence[bytes]]:
    """Return the source of signing keys: URL_SIGNING_KEY, or a generated key in the data folder."""
    if settings.signing_keys:
        return settings.signing_keys.current
    generated = read_or_create_secret(data / "signing-key").encode() if data else secrets.token_bytes(32)
    return lambda: (generated,)


def read_or_create_secret(file: Path, prefix: str = "") -> str:
    """Read the secret of a file, or generate it. Raises `SettingsError`."""
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
