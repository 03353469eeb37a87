"""`image-gateway metrics`: the reference of all metrics, as the Markdown of `docs/metrics.md`.

Rule: the page is rendered from the declarations from which the metrics are built. The command connects to nothing.
"""

import sys
from collections.abc import Iterator

from service.adapters.metrics.declared import SECTIONS, Declared, Kind

HEAD = """# Metrics

`make metrics` writes this page from `service/adapters/metrics/declared.py`; a test fails where they differ.
[operations.md](operations.md#metrics) describes how to scrape, [0023](decisions/0023-metrics.md) the design.

Every replica is one process and exposes its own numbers. *Across* is the function that combines the values of replicas.
Values from the shared stores are equal on all replicas and must not be summed. Counters without labels, and counters
that start "From 0", have the value 0 from the first scrape. Other counters appear with their first event, which
`increase()` does not count. Durations are in seconds. Money is in US dollars, counted in whole nano-dollars from the
entries of the ledger, so it agrees with `/v1/usage`.
"""

LABELS = {
    "team": "a name of `teams.yaml`; empty for unauthenticated requests and for administrators",
    "operation": "generate, edit, models, files, images, usage, admin, docs; unknown where there is no such path",
    "model": "an id of `models.yaml`; aliases are resolved; empty for an unknown model",
    "tier": (
        "a tier of the model: the requested one for requests (auto or none), the delivered one for images and money"
    ),
    "backend": "a name of `gateway.yaml`, or sandbox",
    "size_class": (
        "1mp, 2mp, 4mp, 8mp (maximum size in units of 1024x1024 pixels), over_8mp; auto where no size was requested"
    ),
    "outcome": (
        "of requests: served, invalid, unauthenticated, forbidden, not_found, conflict (of an Idempotency-Key), "
        "limited (by a limit of ours), not_cached, moderated, upstream_rejected, upstream_limited, upstream_failed, "
        "unavailable, client_gone, internal; of backend calls: delivered, or a kind of failure"
    ),
    "cache": "hit, miss, joined, replayed, bypass; none where no image was served",
    "result": "as `cache`; of flights led, joined, lost; of reloads accepted, refused",
    "limit": "requests_per_minute, images_per_minute, concurrent_images, usd_per_day, usd_per_month",
    "scope": "team, key, `model:<id>` or `tier:<name>`: scope of the limit; keys are not distinguished",
    "window": "day, month; UTC",
    "basis": "usage, table, estimated, unconfirmed: source of a cost",
    "kind": "text_in, text_cached, image_in, image_cached, text_out, image_out",
    "end": "posted, voided, expired_booked, expired_voided",
    "measure": "requests, images or tokens, as the vendor counts",
    "reason": "the kind of failure that opened the breaker",
    "key": "the id of a key, of `teams.yaml` or issued",
    "version": "of the gateway, or of the settings: 12 digits of the SHA-256 of `models.yaml` and `teams.yaml`",
    "python": "such as 3.11.7",
}
"""Values of each label."""

TAIL = """
## Labels

No label has a text of a caller: a value that is in none of these lists becomes the empty text.

| Label | Values |
|---|---|
"""

PROCESS = """
Other metrics are `process_*`, `python_gc_*` and `python_info` of prometheus-client.
"""


def metrics() -> None:
    """Print every metric with its labels, as docs/metrics.md."""
    sys.stdout.write(document())


def document() -> str:
    """Return the page."""
    return HEAD + "".join(_sections()) + PROCESS + TAIL + "".join(_labels())


def _sections() -> Iterator[str]:
    for title, section in SECTIONS:
        yield f"\n## {title}\n\n| Metric | Kind | Labels | Across | Description |\n|---|---|---|---|---|\n"
        for metric in section:
            labels = ", ".join(metric.labels)
            cells = (f"`{metric.name}`", metric.kind.value, labels, metric.aggregate, f"{metric.help}{_notes(metric)}")
            yield f"| {' | '.join(cells)} |\n"


def _notes(declared: Declared) -> str:
    """Return the buckets or the start of a metric."""
    if declared.kind is Kind.HISTOGRAM:
        return f" Up to {', '.join(f'{bound:g}' for bound in declared.buckets)} s."
    return " From 0." if declared.initial_labels and declared.labels else ""


def _labels() -> Iterator[str]:
    used = {label for _, section in SECTIONS for metric in section for label in metric.labels}
    for label in sorted(used):
        yield f"| `{label}` | {LABELS[label]} |\n"
