"""The parts of `gateway.yaml` about vendors' accounts: what one takes, and when a backend is left alone.

Rule: as in `gateway.py`: what cannot be meant stops the start with `SettingsError`.
"""

from typing import Annotated

from msgspec import Meta

from service.settings.files import Entry, Place

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Account(Entry, frozen=True):
    """What a vendor's account takes from all replicas together: calls under way, calls and pictures a minute."""

    concurrent: Count | None = None
    requests_per_minute: Count | None = None
    images_per_minute: Count | None = None


class Health(Entry, frozen=True):
    """When a backend is left alone, and for how long. `probe`: its list of models is asked for meanwhile."""

    consecutive: Count = 5
    ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    least_calls: Count = 10
    window_seconds: Seconds = 30.0
    open_seconds: Seconds = 5.0
    most_open_seconds: Seconds = 60.0
    most_blocked_seconds: Seconds = 3600.0
    probe: bool = False


def check_health(place: Place, entry: Health) -> None:
    """Raise if a time is longer than the one that bounds it."""
    if entry.open_seconds > entry.most_open_seconds:
        raise (place / "open_seconds").error(f"{entry.open_seconds} is more than most_open_seconds")
