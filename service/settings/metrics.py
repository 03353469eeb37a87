"""Where metrics are told: the section `metrics` of `gateway.yaml`, and METRICS_HOST and METRICS_PORT above it.

Rule: their port is read as every port of its own is (`listen_ports.py`).
"""

from typing import Annotated

from msgspec import Meta

from service.settings.listen_ports import ListenPort


class MetricsSection(ListenPort, frozen=True):
    """Where metrics are. Budgets and what else has to be asked for are read every `collect_seconds`."""

    collect_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="Between looks at budgets, keys and what waits.")
    ] = 5.0
