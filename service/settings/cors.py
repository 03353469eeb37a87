"""Origins of pages that may call the gateway: `cors` of `gateway.yaml`.

Rule: an origin is written as a browser sends it, because it is compared letter by letter. `null` is none: pages of
everybody have it.
"""

import re
from typing import Annotated

from msgspec import Meta

from service.settings.yaml_file import Entry, FilePlace

ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
DEFAULT_PORTS = {"http": "80", "https": "443"}
EXAMPLE = "https://app.example.com"

Origin = Annotated[str, Meta(title="origin")]


class CorsSection(Entry, frozen=True):
    """Web pages that may call the gateway from a browser."""

    origins: Annotated[
        frozenset[Origin],
        Meta(
            description="Origins of pages that may call `/v1` and read the replies, such as https://app.example.com; "
            "`*` is every origin."
        ),
    ] = frozenset()


def check_origins(place: FilePlace, origins: frozenset[str]) -> None:
    """Raise `SettingsError` for what no browser sends."""
    for origin in sorted(origins - {"*"}):
        match = ORIGIN.fullmatch(origin)
        if not match:
            raise place.error(f"'{origin}' is not an origin: a scheme and a host in lower case, such as {EXAMPLE}")
        if match["port"] == DEFAULT_PORTS.get(match["scheme"], ""):
            raise place.error(f"'{origin}' never matches: browsers leave port {match['port']} out")
