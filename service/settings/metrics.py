"""Where metrics are told: the section `metrics` of `gateway.yaml`, and METRICS_HOST and METRICS_PORT above it.

Rule: without a port they are on the gateway's own. A port that is none, or a host without a port, is a `SettingsError`.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from service.settings.files import Entry, Place, SettingsError

MOST_PORT = 65_535


class Metrics(Entry, frozen=True):
    """A port of their own, if there is one; port 0 takes a free one. No `host` is the gateway's.

    Budgets and what else has to be asked for are read every `read_seconds`.
    """

    host: str | None = None
    port: Annotated[int, Meta(ge=0, le=MOST_PORT)] | None = None
    read_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0


def read_metrics(place: Place, entry: Metrics, environment: Mapping[str, str]) -> Metrics:
    """The section under an environment."""
    host, port = environment.get("METRICS_HOST"), environment.get("METRICS_PORT")
    if port and not (port.isascii() and port.isdigit() and int(port) <= MOST_PORT):
        raise SettingsError(f"METRICS_PORT: '{port[:20]}' is not a port")
    found = msgspec.structs.replace(entry, host=host or entry.host, port=int(port) if port else entry.port)
    if found.host and found.port is None:
        raise place.error("a host needs a port; without one metrics are on the gateway's own")
    return found
