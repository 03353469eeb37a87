"""Targets: images, addresses that a caller wants fetched, and settings."""

import re
import tempfile
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from service.adapters.image_codec import MAX_PIXELS, inspect_reference
from service.adapters.reference_fetcher import ReferenceUrl
from service.adapters.uploads import FileSpool
from service.domain.errors import UnreadableFile
from service.domain.image_spec import Reference
from service.domain.ip_policy import is_plain_name, is_refused, parse_literal
from service.domain.sniff import sniff
from service.settings.gateway import read_gateway
from service.settings.yaml_file import SettingsError

MAX_BYTES = 1 << 20


def uploaded(data: bytes) -> Reference:
    """Return an image as a caller uploads it."""
    intake = FileSpool(MAX_BYTES).begin("image")
    intake.write(data or b"\0")
    return intake.finish()


def image(data: bytes) -> None:
    """A file is an image with a size, of the type that its first bytes show, or it is refused."""
    with suppress(UnreadableFile):
        look = inspect_reference(uploaded(data))
        assert look.media_type == sniff(data), (look, sniff(data))
        assert 0 < look.size.pixels <= MAX_PIXELS


def address(data: bytes) -> None:
    """An address that may be dialled is https, has no user name, and never leads inside.

    Python's parser reads it likewise.
    """
    with suppress(ValueError):
        text = data.decode()
        link = ReferenceUrl.parse(text)
        assert text.lstrip()[:6].lower() == "https:"
        assert "@" not in link.authority
        assert 0 <= link.port < 1 << 16
        assert re.fullmatch(r"[\x21-\x7e]*", link.target), link.target
        dialled = parse_literal(link.host)
        if dialled is not None and not is_refused(dialled, ()):
            inside = ip_address(str(dialled))
            closed = inside.is_loopback, inside.is_link_local, inside.is_private, inside.is_multicast
            assert not any(closed), dialled
            assert link.url_at(dialled).host == str(dialled)
        if is_plain_name(link.host):
            assert same_host(text, link.host)


def same_host(text: str, host: str) -> bool:
    """Return whether another parser of addresses finds that host, or none at all."""
    try:
        parsed = urlsplit(text).hostname
    except ValueError:
        return True
    return parsed is None or not parsed.isascii() or parsed == host


@cache
def folder() -> Path:
    """Return the folder of settings files."""
    return Path(tempfile.mkdtemp(prefix="image-gateway-fuzz-"))


def settings(data: bytes) -> None:
    """A file of settings is read, or refused in one line that names it."""
    file = folder() / "gateway.yaml"
    file.write_bytes(data)
    try:
        read_gateway(file, {})
    except SettingsError as wrong:
        refusal = str(wrong)
    else:
        return
    assert refusal.startswith(str(file))
