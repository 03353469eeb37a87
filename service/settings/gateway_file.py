"""The shape of `gateway.yaml`, with what each key means: `docs/configuration.md` and the JSON Schema are made from it.

Rule: what one value may be is said here, what several must be together in `gateway.py`. Times are in seconds, sizes in
bytes.
"""

from typing import Annotated, Literal

from msgspec import Meta

from service.settings.backend_health import AccountLimits, HealthSection
from service.settings.cors import CorsSection
from service.settings.listen_ports import AdminSection
from service.settings.metrics import MetricsSection
from service.settings.yaml_file import Count, Entry, Seconds

Address = Annotated[str, Meta(title="http or https address")]
Bytes = Annotated[int, Meta(ge=1_024, le=17_179_869_184)]
File = Annotated[str, Meta(title="path of a file")]
RetentionSeconds = Annotated[int, Meta(ge=1, le=3_153_600_000)]
OptionalSeconds = Annotated[float, Meta(ge=0, le=86_400)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Network = Annotated[str, Meta(title="network")]
UserAgent = Annotated[str, Meta(min_length=1, max_length=200, title="text; * is anything")]
Tag = Annotated[str, Meta(title="name", extra_json_schema={"pattern": "^[a-z][a-z0-9_-]{0,31}$"})]


class HttpBackendEntry(Entry, frozen=True):
    """One backend over HTTP. `api_key` is filled in from where the entry points to."""

    dialect: Annotated[Literal["openai", "together"], Meta(description="What is spoken there.")]
    base_url: Annotated[
        Address, Meta(description="Where it is; the environment variable `<NAME>_BASE_URL` comes before it.")
    ]
    api_key_env: Annotated[
        str | None, Meta(description="The environment variable that has its key. Without a key the backend is off.")
    ] = None
    api_key_file: Annotated[File | None, Meta(description="Or the file that has its key.")] = None
    deadline_seconds: Annotated[Seconds, Meta(description="For a whole call; then it may have been billed.")] = 300.0
    connect_seconds: Annotated[
        float, Meta(ge=0.01, le=60, description="To the vendor, or to the proxy on the way.")
    ] = 5.0
    max_concurrent_calls: Annotated[Count, Meta(description="Calls at a time, of each replica.")] = 512
    gateway: Annotated[
        bool, Meta(description="It is another gateway like this one, so that its key may begin with `igw_`.")
    ] = False
    relay_image_urls: Annotated[
        bool, Meta(description="Hand callers' https addresses to the vendor instead of fetching them here.")
    ] = False
    proxy: Annotated[Address | None, Meta(description="The proxy to it; else as HTTPS_PROXY and NO_PROXY say.")] = None
    ca_file: Annotated[
        File | None, Meta(description="Certificates that its own is checked with; else the system's.")
    ] = None
    headers: Annotated[
        dict[str, str], Meta(description="More headers for each call, such as OpenAI-Organization.")
    ] = {}
    account: Annotated[
        AccountLimits,
        Meta(description="What the account takes from all replicas together, where the vendor says it too late."),
    ] = AccountLimits()


class SandboxSection(Entry, frozen=True):
    """The built-in backend. It draws placeholders and books what the model would have cost."""

    enabled: Annotated[bool, Meta(description="Is it on? `serve --dev` switches it on.")] = False
    delay_seconds: Annotated[float, Meta(ge=0, le=600, description="How long a picture takes.")] = 0.0
    fail: Annotated[
        str | None, Meta(description="Make every call fail this way; `image-gateway faults` lists the ways.")
    ] = None
    prompt_directives: Annotated[
        bool, Meta(description="A prompt may say `[sandbox delay=2]` or `[sandbox fail=slow_down]`.")
    ] = False


class RequestsSection(Entry, frozen=True):
    """What callers may send."""

    max_head_bytes: Annotated[int, Meta(ge=1_024, le=16_777_216, description="Of a request, before its body.")] = 65_536
    max_json_bytes: Annotated[Bytes, Meta(description="Of a JSON body.")] = 67_108_864
    max_form_bytes: Annotated[Bytes, Meta(description="Of a form with files.")] = 838_860_800
    max_image_bytes: Annotated[Bytes, Meta(description="Of one picture, uploaded or fetched.")] = 50_000_000
    head_seconds: Annotated[
        Seconds, Meta(description="From connecting, or the first byte of the next request, to the end of its head.")
    ] = 10.0
    idle_seconds: Annotated[Seconds, Meta(description="Without a byte of the body arriving.")] = 30.0
    body_seconds: Annotated[Seconds, Meta(description="For a whole body to arrive.")] = 3600.0
    min_bytes_per_second: Annotated[
        float,
        Meta(
            ge=0, le=1e9, description="Least rate of a body, measured over every `idle_seconds` that it is waited for."
        ),
    ] = 4096.0
    stall_seconds: Annotated[Seconds, Meta(description="Without a byte of the answer being taken.")] = 60.0


class ReferenceImagesSection(Entry, frozen=True):
    """How pictures are fetched that callers give by https address."""

    timeout_seconds: Annotated[Seconds, Meta(description="For fetching one, redirects included.")] = 20.0
    allow_networks: Annotated[
        tuple[Network, ...],
        Meta(description="Networks that are not public and may be fetched from all the same, such as 10.1.0.0/16."),
    ] = ()
    allow_ports: Annotated[tuple[Port, ...], Meta(description="Ports that may be fetched from.")] = (443,)
    ca_file: Annotated[File | None, Meta(description="Certificates to check with; else the system's.")] = None


class ImagesSection(Entry, frozen=True):
    """How pictures are kept, and handed out by address."""

    link_seconds: Annotated[RetentionSeconds, Meta(description="How long an address that was handed out is good.")] = (
        3600
    )
    keep: Annotated[
        Literal["linked", "all"],
        Meta(description="Every picture, so that an edit may name it by id, or only what was asked for by address."),
    ] = "all"
    keep_seconds: Annotated[RetentionSeconds, Meta(description="Then pictures and callers' files are deleted.")] = (
        2_592_000
    )
    sweep_seconds: Annotated[
        float, Meta(ge=0.01, le=31_536_000, description="Between looks for what is to be deleted.")
    ] = 600.0
    public_url: Annotated[
        Address | None, Meta(description="What addresses begin with; else what the request was sent to.")
    ] = None


class ServingSection(Entry, frozen=True):
    """How a replica goes when it is told to, and how long it may be silent."""

    grace_seconds: Annotated[OptionalSeconds, Meta(description="Of serving on while it says that it is not ready.")] = (
        5.0
    )
    drain_seconds: Annotated[OptionalSeconds, Meta(description="Then for what is still under way.")] = 310.0
    keepalive_seconds: Annotated[
        Seconds, Meta(description="Without a word on a stream, or on an answer with x-gateway-keepalive.")
    ] = 15.0


class LedgerSection(Entry, frozen=True):
    """How holds and entries are looked after."""

    lease_seconds: Annotated[
        float,
        Meta(
            ge=1, le=3_600, description="How long a hold outlives its replica before it is booked at its worst price."
        ),
    ] = 60.0
    write_seconds: Annotated[
        float, Meta(ge=0.01, le=3_600, description="How long entries are collected before they are written.")
    ] = 0.2
    sweep_seconds: Annotated[
        float, Meta(ge=0.01, le=3_600, description="Between looks for holds that nobody came back for.")
    ] = 5.0


class CacheSection(Entry, frozen=True):
    """What is kept for whoever asks the same again."""

    seconds: Annotated[
        int, Meta(ge=0, le=31_536_000, description="How long; 0: nothing is kept. Models and teams may say otherwise.")
    ] = 3600
    max_bytes: Annotated[int, Meta(ge=1, le=268_435_456, description="Larger results are not kept.")] = 16_777_216
    shared: Annotated[bool, Meta(description="One team gets what was bought for another.")] = False
    usage: Annotated[
        Literal["full", "zero"],
        Meta(
            description="What replies that were bought for another request say of tokens: what the purchase took "
            "(full), or none (zero), so that clients which price `usage` do not count it twice."
        ),
    ] = "full"
    in_flight: Annotated[
        Literal["join", "vary"],
        Meta(
            description="Identical requests of one key that are under way at the same time: all get the picture of one "
            "purchase (join), or each another sample (vary). Teams and keys may say otherwise."
        ),
    ] = "join"
    vary_user_agents: Annotated[
        tuple[UserAgent, ...],
        Meta(
            description="Clients whose requests vary unless team or key say otherwise: what their User-Agent contains."
        ),
    ] = ("ai-sdk",)


class IdempotencySection(Entry, frozen=True):
    """How one intention is bought once."""

    key_seconds: Annotated[int, Meta(ge=60, le=2_592_000, description="How long an Idempotency-Key is remembered.")] = (
        86_400
    )
    failure_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=600,
            description="How long the same request of the same key gets the same failure, if that may have been "
            "billed; 0: it is bought again.",
        ),
    ] = 30
    in_progress: Annotated[
        Literal["wait", "conflict"],
        Meta(description="Whoever comes with the key of a request that is under way waits, or is told 409."),
    ] = "wait"
    after_crash: Annotated[
        Literal["refuse", "repeat"],
        Meta(description="What a replica was buying when it died: 503 for ten minutes, or bought, maybe twice."),
    ] = "refuse"


class RoutingSection(Entry, frozen=True):
    """How hard a request tries."""

    wait_seconds: Annotated[
        float, Meta(ge=0, le=300, description="In all, for backends that say when they may be asked again.")
    ] = 10.0
    partial_failure: Annotated[
        Literal["fail", "return"],
        Meta(description="Some of several pictures were bought, the rest refused: an error, or those that there are."),
    ] = "fail"


class DatabaseSection(Entry, frozen=True):
    """The database of the ledger."""

    wait_seconds: Annotated[
        OptionalSeconds,
        Meta(description="How long a start waits for a PostgreSQL that is away or still starting; then it refuses."),
    ] = 30.0
    one_machine: Annotated[
        bool,
        Meta(description="All replicas run on one machine, so a SQLite file may be their ledger beside REDIS_URL."),
    ] = False


class RedisSection(Entry, frozen=True):
    """The server of quotas, holds, flights and the cache."""

    timeout_seconds: Annotated[
        float,
        Meta(ge=0.01, le=5, description="How long it may be silent before a purchase is refused, a cache left alone."),
    ] = 0.08
    max_waiting: Annotated[
        Count,
        Meta(description="Maximum number of requests of a replica that wait for a connection to it; then 503 at once."),
    ] = 1024


class LogsSection(Entry, frozen=True):
    """What is written down about requests."""

    prompts: Annotated[bool, Meta(description="Log prompts and the user field.")] = False
    sample: Annotated[
        float, Meta(ge=0, le=1, description="The share of requests that went well that has a line; others always have.")
    ] = 1.0


class GatewayFile(Entry, frozen=True):
    """How the gateway runs."""

    backends: Annotated[
        dict[str, object],
        Meta(description="What draws, by name; a second account is a backend.", extra={"of": HttpBackendEntry}),
    ] = {}
    sandbox: Annotated[SandboxSection, Meta(description="The built-in backend, which draws placeholders.")] = (
        SandboxSection()
    )
    requests: Annotated[RequestsSection, Meta(description="What callers may send.")] = RequestsSection()
    cors: Annotated[CorsSection, Meta(description="Pages in browsers that may call the gateway.")] = CorsSection()
    reference_images: Annotated[
        ReferenceImagesSection, Meta(description="How pictures are fetched that callers give by address.")
    ] = ReferenceImagesSection()
    images: Annotated[ImagesSection, Meta(description="How pictures are kept and handed out.")] = ImagesSection()
    serving: Annotated[ServingSection, Meta(description="How a replica goes, and how long it may be silent.")] = (
        ServingSection()
    )
    ledger: Annotated[LedgerSection, Meta(description="How holds and entries are looked after.")] = LedgerSection()
    tags: Annotated[
        frozenset[Tag], Meta(description="Names under which callers may book their costs with x-gateway-tags.")
    ] = frozenset()
    cache: Annotated[CacheSection, Meta(description="What is kept for whoever asks the same again.")] = CacheSection()
    idempotency: Annotated[IdempotencySection, Meta(description="How one intention is bought once.")] = (
        IdempotencySection()
    )
    routing: Annotated[RoutingSection, Meta(description="How hard a request tries.")] = RoutingSection()
    health: Annotated[HealthSection, Meta(description="When a backend is left alone, and for how long.")] = (
        HealthSection()
    )
    redis: Annotated[RedisSection, Meta(description="The server of quotas, holds and the cache.")] = RedisSection()
    database: Annotated[DatabaseSection, Meta(description="The database of the ledger.")] = DatabaseSection()
    logs: Annotated[LogsSection, Meta(description="What is written down about requests.")] = LogsSection()
    metrics: Annotated[MetricsSection, Meta(description="Where metrics are, and how fresh.")] = MetricsSection()
    admin: Annotated[AdminSection, Meta(description="Where `/admin/v1` is.")] = AdminSection()
