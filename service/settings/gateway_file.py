"""Structure of `gateway.yaml`: type, bounds, default and description of each key.

`docs/configuration.md` and the JSON Schema are generated from it. Times are in seconds, sizes in bytes.

Rule: the bounds of one value stand here. Conditions on several values stand in `gateway.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta

from service.settings.backend_settings import HealthSection, HttpBackendEntry
from service.settings.yaml_file import Address, Count, Entry, FilePath, Seconds

MAX_PORT = 65_535
Bytes = Annotated[int, Meta(ge=1_024, le=17_179_869_184)]
RetentionSeconds = Annotated[int, Meta(ge=1, le=3_153_600_000)]
OptionalSeconds = Annotated[float, Meta(ge=0, le=86_400)]
Port = Annotated[int, Meta(ge=1, le=MAX_PORT)]
Origin = Annotated[str, Meta(title="origin")]
Network = Annotated[str, Meta(title="network")]
UserAgent = Annotated[str, Meta(min_length=1, max_length=200, title="text")]
Tag = Annotated[str, Meta(title="name", extra_json_schema={"pattern": "^[a-z][a-z0-9_-]{0,31}$"})]


class SandboxSection(Entry, frozen=True):
    """Settings of the built-in backend, which draws placeholder images."""

    enabled: Annotated[bool, Meta(description="Whether the sandbox is on. `serve --dev` switches it on.")] = False
    delay_seconds: Annotated[float, Meta(ge=0, le=600, description="Seconds that an image takes.")] = 0.0
    fail: Annotated[
        str | None, Meta(description="Failure that every call ends in; `image-gateway faults` lists them.")
    ] = None
    prompt_directives: Annotated[
        bool,
        Meta(description="Whether prompts may contain `[sandbox delay=2]`, `[sandbox fail=slow_down]` and the like."),
    ] = False


class RequestsSection(Entry, frozen=True):
    """Limits on what callers may send, and how fast."""

    max_head_bytes: Annotated[
        int, Meta(ge=1_024, le=16_777_216, description="Maximum size of the head of a request.")
    ] = 65_536
    max_json_bytes: Annotated[Bytes, Meta(description="Maximum size of a JSON body.")] = 67_108_864
    max_form_bytes: Annotated[Bytes, Meta(description="Maximum size of a form with files.")] = 838_860_800
    max_image_bytes: Annotated[Bytes, Meta(description="Maximum size of one image, uploaded or fetched.")] = 50_000_000
    head_seconds: Annotated[
        Seconds,
        Meta(
            description="Timeout for the head of a request, from connecting or from the first byte of the next request."
        ),
    ] = 10.0
    idle_seconds: Annotated[Seconds, Meta(description="Maximum pause between two bytes of a body.")] = 30.0
    body_seconds: Annotated[Seconds, Meta(description="Timeout for the whole body of a request.")] = 3600.0
    min_bytes_per_second: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="Minimum rate of a body, measured over every `idle_seconds` in which the gateway waits for it.",
        ),
    ] = 4096.0
    stall_seconds: Annotated[
        Seconds,
        Meta(description="Maximum time for which a client may read no byte of a response. Then it is disconnected."),
    ] = 60.0


class CorsSection(Entry, frozen=True):
    """Web pages that may call the gateway from a browser."""

    origins: Annotated[
        frozenset[Origin],
        Meta(
            description="Origins of pages that may call `/v1` and read the replies, such as https://app.example.com; "
            "`*` is every origin."
        ),
    ] = frozenset()


class ReferenceImagesSection(Entry, frozen=True):
    """Rules for fetching images that callers give by https address."""

    timeout_seconds: Annotated[Seconds, Meta(description="Timeout for fetching one image, redirects included.")] = 20.0
    allow_networks: Annotated[
        tuple[Network, ...],
        Meta(description="Private networks that images may be fetched from, such as 10.1.0.0/16."),
    ] = ()
    allow_ports: Annotated[tuple[Port, ...], Meta(description="Ports that images may be fetched from.")] = (443,)
    ca_file: Annotated[
        FilePath | None,
        Meta(description="File of the authorities that sign certificates of image hosts; by default the system's."),
    ] = None


class ImagesSection(Entry, frozen=True):
    """Storage of generated images, and the signed addresses that lead to them."""

    link_seconds: Annotated[RetentionSeconds, Meta(description="Lifetime of a signed address in seconds.")] = 3600
    keep: Annotated[
        Literal["linked", "all"],
        Meta(
            description="Images that are stored: `all`, so that an edit may name an image by its id, or `linked`, "
            "those returned by address."
        ),
    ] = "all"
    keep_seconds: Annotated[
        RetentionSeconds,
        Meta(description="Lifetime in seconds of stored images and of callers' files. They are deleted afterwards."),
    ] = 2_592_000
    sweep_seconds: Annotated[
        float, Meta(ge=0.01, le=31_536_000, description="Interval between two searches for images to delete.")
    ] = 600.0
    public_url: Annotated[
        Address | None,
        Meta(description="Base URL of signed addresses; by default the address that the request was sent to."),
    ] = None


class ServingSection(Entry, frozen=True):
    """Shutdown of a replica, and keep-alive signals of slow responses."""

    grace_seconds: Annotated[
        OptionalSeconds,
        Meta(description="Time for which a stopping replica accepts requests while it reports that it is not ready."),
    ] = 5.0
    drain_seconds: Annotated[
        OptionalSeconds, Meta(description="Time for requests under way to finish, after the grace period.")
    ] = 310.0
    keepalive_seconds: Annotated[
        Seconds,
        Meta(description="Interval between keep-alive signals on a stream or on a response with x-gateway-keepalive."),
    ] = 15.0


class LedgerSection(Entry, frozen=True):
    """Intervals of holds, of their leases and of writes to the ledger."""

    lease_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=3_600,
            description="Time that a hold outlives its replica. Then it expires and is booked at its worst price.",
        ),
    ] = 60.0
    write_seconds: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3_600,
            description="Interval for which entries are collected before they are written to the ledger.",
        ),
    ] = 0.2
    sweep_seconds: Annotated[
        float, Meta(ge=0.01, le=3_600, description="Interval between two searches for expired holds.")
    ] = 5.0


class CacheSection(Entry, frozen=True):
    """Cache of results, from which identical requests are served."""

    seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=31_536_000,
            description="Lifetime of a cached result; 0 switches the cache off. Models and teams may override it.",
        ),
    ] = 3600
    max_bytes: Annotated[
        int, Meta(ge=1, le=268_435_456, description="Maximum size of a cached result. Larger results are not cached.")
    ] = 16_777_216
    shared: Annotated[
        bool, Meta(description="Whether a team may get results that were generated for another team.")
    ] = False
    usage: Annotated[
        Literal["full", "zero"],
        Meta(
            description="Tokens reported for a cached or joined result: those of the original call (`full`), or none "
            "(`zero`), so that clients which price `usage` do not count them twice."
        ),
    ] = "full"
    in_flight: Annotated[
        Literal["join", "vary"],
        Meta(
            description="Handling of identical concurrent requests of one key: all get the image of one call (`join`), "
            "or each gets another sample (`vary`). Teams and keys may override it."
        ),
    ] = "join"
    vary_user_agents: Annotated[
        tuple[UserAgent, ...],
        Meta(description="Texts in the User-Agent of clients whose identical requests vary; `*` matches any text."),
    ] = ("ai-sdk",)


class IdempotencySection(Entry, frozen=True):
    """Rules that keep a repeated request from being generated twice."""

    key_seconds: Annotated[
        int, Meta(ge=60, le=2_592_000, description="Time for which an Idempotency-Key is remembered.")
    ] = 86_400
    failure_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=600,
            description="Time for which an identical request of the same key gets the same failure, if that may have "
            "been billed; 0 generates again.",
        ),
    ] = 30
    in_progress: Annotated[
        Literal["wait", "conflict"],
        Meta(
            description="Handling of a request whose Idempotency-Key is in use: `wait` for the first request, or "
            "`conflict` (409)."
        ),
    ] = "wait"
    after_crash: Annotated[
        Literal["refuse", "repeat"],
        Meta(
            description="Handling of requests whose replica died during the vendor's call: `refuse` (503 for ten "
            "minutes), or `repeat`, which may be billed twice."
        ),
    ] = "refuse"


class RoutingSection(Entry, frozen=True):
    """Retries and partial results of a request."""

    wait_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description="Maximum total time that a request waits for backends that announced when to retry.",
        ),
    ] = 10.0
    partial_failure: Annotated[
        Literal["fail", "return"],
        Meta(
            description="Outcome of a request of which some images succeeded: `fail` with an error, or `return` those "
            "images."
        ),
    ] = "fail"


class DatabaseSection(Entry, frozen=True):
    """Connection to the database of the ledger."""

    wait_seconds: Annotated[
        OptionalSeconds,
        Meta(description="Maximum time that a start waits for PostgreSQL to answer. Then the start fails."),
    ] = 30.0
    one_machine: Annotated[
        bool,
        Meta(
            description="Whether all replicas run on one machine, so that SQLite may be their ledger beside REDIS_URL."
        ),
    ] = False


class RedisSection(Entry, frozen=True):
    """Connection to the server of quotas, holds, flights and the cache."""

    timeout_seconds: Annotated[
        float,
        Meta(
            ge=0.01,
            le=5,
            description="Timeout of a command. Then requests that need quotas are refused, and the cache is skipped.",
        ),
    ] = 0.08
    max_waiting: Annotated[
        Count,
        Meta(
            description="Maximum number of requests of a replica that wait for a connection. Further ones get 503 at "
            "once."
        ),
    ] = 1024


class LogsSection(Entry, frozen=True):
    """Contents of the log."""

    prompts: Annotated[bool, Meta(description="Whether prompts and the user field are logged.")] = False
    sample: Annotated[
        float, Meta(ge=0, le=1, description="Share of successful requests that are logged. All other requests are.")
    ] = 1.0


class ListenPort(Entry, frozen=True):
    """Port of its own for a part of the API, if `port` is set."""

    host: Annotated[str | None, Meta(description="Address of the own port; by default the gateway's.")] = None
    port: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_PORT)] | None,
        Meta(description="Number of the own port; 0 takes a free one. By default the gateway's port is used."),
    ] = None


class AdminSection(ListenPort, frozen=True):
    """Address of `/admin/v1`, if it has a port of its own."""


class MetricsSection(ListenPort, frozen=True):
    """Address of the metrics, and how often gauges are collected."""

    collect_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="Interval between two collections of budgets, keys and backlogs.")
    ] = 5.0


class GatewayFile(Entry, frozen=True):
    """Settings of the gateway itself. The description of a section is that of its class."""

    backends: Annotated[
        dict[str, object],
        Meta(
            description="Vendors that generate images, by name. A second account of a vendor is a backend of its own.",
            extra={"of": HttpBackendEntry},
        ),
    ] = {}
    sandbox: SandboxSection = SandboxSection()
    requests: RequestsSection = RequestsSection()
    cors: CorsSection = CorsSection()
    reference_images: ReferenceImagesSection = ReferenceImagesSection()
    images: ImagesSection = ImagesSection()
    serving: ServingSection = ServingSection()
    ledger: LedgerSection = LedgerSection()
    tags: Annotated[
        frozenset[Tag], Meta(description="Names that callers may book costs under with x-gateway-tags.")
    ] = frozenset()
    cache: CacheSection = CacheSection()
    idempotency: IdempotencySection = IdempotencySection()
    routing: RoutingSection = RoutingSection()
    health: HealthSection = HealthSection()
    redis: RedisSection = RedisSection()
    database: DatabaseSection = DatabaseSection()
    logs: LogsSection = LogsSection()
    metrics: MetricsSection = MetricsSection()
    admin: AdminSection = AdminSection()
