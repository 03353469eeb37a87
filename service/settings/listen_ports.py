"""Ports of their own, for metrics and for admin: a section of `gateway.yaml`, and <NAME>_HOST and <NAME>_PORT above it.

Rule: without a port they are on the gateway's own. A port that is none, or a host without a port, is a `SettingsError`.
"""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from service.settings.yaml_file import Entry, FilePlace, SettingsError

MAX_PORT = 65_535
P = TypeVar("P", bound="ListenPort")


class ListenPort(Entry, frozen=True):
    """A port of its own, if there is one; port 0 takes a free one. No `host` is the gateway's."""

    host: Annotated[str | None, Meta(description="The address of that port; else the gateway's.")] = None
    port: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_PORT)] | None,
        Meta(description="A port of its own; 0 takes a free one. Without it, on the gateway's."),
    ] = None


class AdminSection(ListenPort, frozen=True):
    """Where `/admin/v1` is."""


def read_port(place: FilePlace, entry: P, name: str, environment: Mapping[str, str]) -> P:
    """A section under an environment. `name` is metrics, or admin."""
    host, port = environment.get(f"{name.upper()}_HOST"), environment.get(f"{name.upper()}_PORT")
    if port and not (port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
        raise SettingsError(f"{name.upper()}_PORT: '{port[:20]}' is not a port")
    port_entry = msgspec.structs.replace(entry, host=host or entry.host, port=int(port) if port else entry.port)
    if port_entry.host and port_entry.port is None:
        raise place.error(f"a host needs a port; without one the gateway's own has {name}")
    return port_entry
