"""Where metrics are told: the section `metrics` of `gateway.yaml`, and METRICS_HOST and METRICS_PORT above it.

Rule: their port is read as every port of its own is (`listen_ports.py`).
"""

from typing import Annotated

from msgspec import Meta

from service.settings.listen_ports import ListenPort


class MetricsSection(ListenPort, frozen=True):
    """Address of the metrics, and how often gauges are collected."""

    collect_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="Interval between two collections of budgets, keys and backlogs.")
    ] = 5.0
