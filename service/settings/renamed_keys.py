"""Keys of `gateway.yaml` that had another name before 0.1.0.

Rule: an old key is refused with its new name, because two names for a key could contradict each other. A changed value
stands beside the new name.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

RENAMED_KEYS: Mapping[str, str] = {
    "backends.*.most_calls": "max_concurrent_calls",
    "sandbox.obey_prompt": "prompt_directives",
    "requests.most_head_bytes": "max_head_bytes",
    "requests.most_json_bytes": "max_json_bytes",
    "requests.most_form_bytes": "max_form_bytes",
    "requests.most_picture_bytes": "max_image_bytes",
    "requests.least_bytes_per_second": "min_bytes_per_second",
    "links": "reference_images",
    "reference_images.seconds": "timeout_seconds",
    "pictures": "images",
    "cache.most_bytes": "max_bytes",
    "purchases": "idempotency",
    "idempotency.remember_failures_seconds": "failure_seconds",
    "idempotency.key_in_use": "in_progress (wait, or conflict instead of refuse)",
    "idempotency.in_doubt": "after_crash (refuse, or repeat instead of buy)",
    "health.consecutive": "consecutive_failures",
    "health.ratio": "failure_ratio",
    "health.least_calls": "min_calls",
    "health.most_open_seconds": "max_open_seconds",
    "health.most_blocked_seconds": "max_blocked_seconds",
    "state": "redis",
    "redis.answer_seconds": "timeout_seconds",
    "redis.most_waiting": "max_waiting",
    "metrics.read_seconds": "collect_seconds",
}


def new_name(*path: str | int) -> str | None:
    """Return the present name of an old key, or None."""
    dotted = ".".join(str(step) for step in path)
    return next((new for old, new in RENAMED_KEYS.items() if fnmatchcase(dotted, old)), None)
