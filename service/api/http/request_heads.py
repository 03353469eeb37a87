"""Rules for the heads of requests, beyond those of the parser.

Rule: an ambiguous head is refused, because a proxy in front may read it in another way. A field that decides something
stands once in a head. A request of HTTP/1.1 names its host. The host of an absolute target
takes precedence over the field `Host` (RFC 9112 3.2.2). All functions are pure.

Fails with: nothing. A fault is returned as text, for the connection to raise.
"""

import re
from collections.abc import Sequence
from typing import Final

Fields = Sequence[tuple[bytes, bytes]]
"""Names, in lower case, and values."""

VERSIONS: Final = frozenset({"1.0", "1.1"})
SINGLE_FIELDS: Final = frozenset(
    {
        b"api-key",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"transfer-encoding",
    }
)
"""Fields that stand once in a head."""

HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]+)(.*)", re.DOTALL)


UPGRADE_FIELDS: Final = frozenset({b"upgrade", b"http2-settings"})
"""Fields of an offer to upgrade. Their names also stand as words in the field `Connection`."""


def head_without_upgrade(method: bytes, target: bytes, version: str, fields: Fields) -> bytes:
    """Encode a head without its offer to upgrade."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    for name, value in fields:
        if name == b"connection":
            words = [word for word in value.split(b",") if word.strip().lower() not in UPGRADE_FIELDS]
            lines += [b"connection:" + b",".join(words)] if words else []
        elif name not in UPGRADE_FIELDS:
            lines.append(name + b":" + value)
    return b"\r\n".join([*lines, b"", b""])


def head_fault(version: str, fields: Fields) -> str | None:
    """Return the reason to refuse a head, if there is one."""
    if version not in VERSIONS:
        return f"HTTP/{version} is not spoken here"
    single_fields = [name for name, _ in fields if name in SINGLE_FIELDS]
    if len(set(single_fields)) < len(single_fields):
        repeated = next(name for name in single_fields if single_fields.count(name) > 1)
        return f"{repeated.decode()} was given twice"
    if version == "1.0":
        return "transfer-encoding is not part of HTTP/1.0" if b"transfer-encoding" in single_fields else None
    return None if b"host" in single_fields else "HTTP/1.1 requires a host"


def origin_form(target: bytes, fields: Fields) -> tuple[bytes, Fields] | None:
    """Return a target's path, and the fields with the target's host. None means that a host is invalid."""
    absolute = None if target.startswith(b"/") else ABSOLUTE.fullmatch(target)
    if absolute:
        host, rest = absolute.groups()
        target = rest if rest.startswith(b"/") else b"/" + rest
        fields = [(name, host if name == b"host" else value) for name, value in fields]
    hosts_valid = all(HOST.fullmatch(value) for name, value in fields if name == b"host")
    return (target, fields) if hosts_valid else None
