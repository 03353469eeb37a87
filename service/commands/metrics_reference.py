"""`image-gateway metrics`: what there is to scrape, as the Markdown of `docs/metrics.md`.

Rule: written from the declarations that the metrics are made from, so it cannot be wrong about names. Connects to
nothing.
"""

import sys
from collections.abc import Iterator

from service.adapters.metrics.declared import SECTIONS, Declared, Kind

HEAD = """# Metrics

Written by `make metrics` from `service/adapters/metrics/declared.py`; a test fails where they differ. How to scrape is
in [operations.md](operations.md#metrics), why they are as they are in [0023](decisions/0023-metrics.md).

Every replica is one process and tells its own numbers. *Across* is how those of several replicas are put together: what
is read from the shared stores is the same on each and must not be summed. Counters without labels, and those that are
marked, are there at 0 from the first scrape; others appear with their first event, which `increase()` does not see.
Durations are in seconds, money in US dollars: counted in whole nano-dollars from the entries of the ledger, so that it
agrees with `/v1/usage`.
"""

LABELS = {
    "team": "a name of `teams.yaml`; empty for whoever was not let in, and for administrators",
    "operation": "generate, edit, models, files, pictures, usage, admin, docs; unknown where there is no such path",
    "model": "an id of `models.yaml`, whatever alias was asked for; empty where what was asked for is none",
    "tier": "a tier of the model: of requests the one asked for (auto: none), of pictures and money the one drawn",
    "backend": "a name of `gateway.yaml`, or sandbox",
    "size_class": "1mp, 2mp, 4mp, 8mp (at most so many times 1024x1024 pixels), over_8mp; auto where nobody said",
    "outcome": (
        "of requests: served, invalid, unauthenticated, forbidden, not_found, conflict (of an Idempotency-Key), "
        "limited (by a limit of ours), not_cached, moderated, upstream_rejected, upstream_limited, upstream_failed, "
        "unavailable, client_gone, internal; of backend calls: delivered, or a kind of failure"
    ),
    "cache": "hit, miss, joined, replayed, bypass; none for what was not served a picture",
    "result": "as `cache`; of reloads accepted, refused",
    "limit": "requests_per_minute, images_per_minute, concurrent_images, usd_per_day, usd_per_month",
    "scope": "team, key, `model:<id>` or `tier:<name>`: what the limit is on; keys are not told apart",
    "window": "day, month; UTC",
    "basis": "usage, table, estimated, unconfirmed: what a cost rests on",
    "kind": "text_in, text_cached, image_in, image_cached, text_out, image_out",
    "end": "posted, voided, expired_booked, expired_voided",
    "seat": "led, joined, lost",
    "measure": "requests, images or tokens, as the vendor counts",
    "reason": "the kind of failure that a breaker opened for",
    "key": "the id of a key, of `teams.yaml` or issued",
    "version": "of the gateway, or of the settings: 12 digits of the SHA-256 of `models.yaml` and `teams.yaml`",
    "python": "such as 3.11.7",
}
"""What the values of a label are."""

TAIL = """
## Labels

No label holds a word of a caller's: what is in none of these lists is the empty text.

| Label | Values |
|---|---|
"""

PROCESS = """
Besides, `process_*`, `python_gc_*` and `python_info` of prometheus-client.
"""


def metrics() -> None:
    """Print every metric with its labels, as docs/metrics.md."""
    sys.stdout.write(document())


def document() -> str:
    """The page."""
    return HEAD + "".join(_sections()) + PROCESS + TAIL + "".join(_labels())


def _sections() -> Iterator[str]:
    for title, section in SECTIONS:
        yield f"\n## {title}\n\n| Metric | Kind | Labels | Across | What |\n|---|---|---|---|---|\n"
        for metric in section:
            labels = ", ".join(metric.labels)
            cells = (f"`{metric.name}`", metric.kind.value, labels, metric.aggregate, f"{metric.help}{_notes(metric)}")
            yield f"| {' | '.join(cells)} |\n"


def _notes(declared: Declared) -> str:
    """What there is to say about starts and buckets."""
    if declared.kind is Kind.HISTOGRAM:
        return f" Up to {', '.join(f'{bound:g}' for bound in declared.buckets)} s."
    return " From 0." if declared.initial_labels and declared.labels else ""


def _labels() -> Iterator[str]:
    used = {label for _, section in SECTIONS for metric in section for label in metric.labels}
    for label in sorted(used):
        yield f"| `{label}` | {LABELS[label]} |\n"
