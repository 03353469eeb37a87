"""The parts of `gateway.yaml` about vendors' accounts: what one takes, and when a backend is left alone.

Rule: as in `gateway.py`: what cannot be meant stops the start with `SettingsError`.
"""

from typing import Annotated

from msgspec import Meta

from service.settings.yaml_file import Count, Entry, FilePlace, Seconds


class AccountLimits(Entry, frozen=True):
    """Limits of a vendor's account that all replicas share."""

    concurrent: Annotated[Count | None, Meta(description="Maximum number of concurrent calls of all replicas.")] = None
    requests_per_minute: Annotated[Count | None, Meta(description="Maximum number of calls in any minute.")] = None
    images_per_minute: Annotated[
        Count | None, Meta(description="Maximum number of images requested in any minute.")
    ] = None


class HealthSection(Entry, frozen=True):
    """Circuit breaker of each backend."""

    consecutive_failures: Annotated[
        Count,
        Meta(
            description="Number of consecutive failures that opens the circuit breaker; twice as many once a window "
            "has `min_calls` calls."
        ),
    ] = 5
    failure_ratio: Annotated[
        float, Meta(ge=0.01, le=1, description="Share of failed calls in a window that opens the circuit breaker.")
    ] = 0.5
    min_calls: Annotated[
        Count, Meta(description="Minimum number of calls in a window for `failure_ratio` to apply.")
    ] = 10
    window_seconds: Annotated[Seconds, Meta(description="Length of the window that calls are counted in.")] = 30.0
    open_seconds: Annotated[
        Seconds,
        Meta(
            description="Time for which an open circuit breaker blocks calls; it doubles from the third opening in a "
            "row."
        ),
    ] = 5.0
    max_open_seconds: Annotated[
        Seconds,
        Meta(
            description="Upper bound of `open_seconds`; used at once when the vendor refuses the key or the account "
            "has no credit."
        ),
    ] = 60.0
    max_blocked_seconds: Annotated[
        Seconds,
        Meta(description="Maximum time for which an account is not called after a report of an exhausted rate limit."),
    ] = 3600.0
    probe: Annotated[
        bool,
        Meta(description="Whether a blocked backend is probed with a request for its list of models, which is free."),
    ] = False


def check_health(place: FilePlace, entry: HealthSection) -> None:
    """Raise if a time is longer than the one that bounds it."""
    if entry.open_seconds > entry.max_open_seconds:
        raise (place / "open_seconds").error(f"{entry.open_seconds} is more than max_open_seconds")
