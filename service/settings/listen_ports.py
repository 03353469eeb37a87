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
    """Optional port of its own for a part of the API."""

    host: Annotated[str | None, Meta(description="Address of the own port; by default the gateway's.")] = None
    port: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_PORT)] | None,
        Meta(description="Number of the own port; 0 takes a free one. By default the gateway's port is used."),
    ] = None


class AdminSection(ListenPort, frozen=True):
    """Address of `/admin/v1`, if it has a port of its own."""


def read_port(place: FilePlace, entry: P, name: str, environment: Mapping[str, str]) -> P:
    """A section under an environment. `name` is metrics, or admin."""
    host, port = environment.get(f"{name.upper()}_HOST"), environment.get(f"{name.upper()}_PORT")
    if port and not (port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
        raise SettingsError(f"{name.upper()}_PORT: '{port[:20]}' is not a port")
    port_entry = msgspec.structs.replace(entry, host=host or entry.host, port=int(port) if port else entry.port)
    if port_entry.host and port_entry.port is None:
        raise place.error(f"a host needs a port; without one the gateway's own has {name}")
    return port_entry
