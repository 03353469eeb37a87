"""The parts of `gateway.yaml` about vendors' accounts: what one takes, and when a backend is left alone.

Rule: as in `gateway.py`: what cannot be meant stops the start with `SettingsError`.
"""

from typing import Annotated

from msgspec import Meta

from service.settings.yaml_file import Count, Entry, FilePlace, Seconds


class AccountLimits(Entry, frozen=True):
    """What a vendor's account takes from all replicas together: calls under way, calls and pictures a minute."""

    concurrent: Annotated[Count | None, Meta(description="Calls under way.")] = None
    requests_per_minute: Annotated[Count | None, Meta(description="Calls in a minute.")] = None
    images_per_minute: Annotated[Count | None, Meta(description="Pictures asked for in a minute.")] = None


class HealthSection(Entry, frozen=True):
    """When a backend is left alone, and for how long. `probe`: its list of models is asked for meanwhile."""

    consecutive_failures: Annotated[
        Count,
        Meta(description="Failures without a picture in between; twice as many where there are min_calls in a window."),
    ] = 5
    failure_ratio: Annotated[float, Meta(ge=0.01, le=1, description="Or this share of the calls of a window.")] = 0.5
    min_calls: Annotated[Count, Meta(description="The fewest calls in a window for ratio to count.")] = 10
    window_seconds: Annotated[Seconds, Meta(description="How long a window is.")] = 30.0
    open_seconds: Annotated[
        Seconds, Meta(description="For how long it is left alone, the third time in a row twice as long, and so on.")
    ] = 5.0
    max_open_seconds: Annotated[
        Seconds, Meta(description="At most; and at once where the key is refused or the account is out of credit.")
    ] = 60.0
    max_blocked_seconds: Annotated[
        Seconds, Meta(description="For how long at most an account is left in peace that says that a limit is used up.")
    ] = 3600.0
    probe: Annotated[bool, Meta(description="Ask for its list of models meanwhile, which is free.")] = False


def check_health(place: FilePlace, entry: HealthSection) -> None:
    """Raise if a time is longer than the one that bounds it."""
    if entry.open_seconds > entry.max_open_seconds:
        raise (place / "open_seconds").error(f"{entry.open_seconds} is more than max_open_seconds")
