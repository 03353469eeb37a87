"""Reads `gateway.yaml` and the environment into one frozen value.

Rule: the file says how, the environment says where and with which secret; a backend without its secret is off. Wrong
values, of either origin, stop the start with `SettingsError`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from service.domain.routing import SANDBOX
from service.settings.admin import read_admin_digest
from service.settings.files import Entry, Place, SettingsError, read_yaml
from service.settings.health import Account, Health, check_health
from service.settings.metrics import Metrics, read_metrics
from service.settings.storage import Storage, read_storage

TRACES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
STORES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
TAG = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Vendor(Entry, frozen=True):
    """One backend over HTTP. Times in seconds. `api_key` is filled in from where the entry points to."""

    dialect: Literal["openai", "together"]
    base_url: str
    api_key_env: str | None = None
    api_key_file: str | None = None
    deadline_seconds: float = 300.0
    connect_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    most_calls: int = 512
    relay_image_urls: bool = False
    proxy: str | None = None
    ca_file: str | None = None
    headers: dict[str, str] = {}
    account: Account = Account()


class Sandbox(Entry, frozen=True):
    """The built-in backend."""

    enabled: bool = False
    delay_seconds: float = 0.0
    fail: str | None = None
    obey_prompt: bool = False


class Requests(Entry, frozen=True):
    """What callers may send, in bytes, and how long a body may pause, in seconds."""

    most_json_bytes: int = 67_108_864
    most_form_bytes: int = 838_860_800
    most_picture_bytes: int = 50_000_000
    idle_seconds: float = 30.0


class Links(Entry, frozen=True):
    """How pictures given by address are fetched."""

    seconds: float = 20.0
    allow_networks: tuple[str, ...] = ()
    allow_ports: tuple[int, ...] = (443,)
    ca_file: str | None = None


class Pictures(Entry, frozen=True):
    """How pictures are kept, and handed out by address. Times in seconds."""

    link_seconds: int = 3600
    keep: Literal["linked", "all"] = "all"
    keep_seconds: int = 2_592_000
    sweep_seconds: float = 600.0
    public_url: str | None = None


class Serving(Entry, frozen=True):
    """How a replica goes: seconds of serving on while not ready, then seconds for what is still under way.

    `keepalive_seconds` is how long a stream, or an answer behind spaces, may be silent.
    """

    grace_seconds: float = 5.0
    drain_seconds: float = 310.0
    keepalive_seconds: float = 15.0


class Ledger(Entry, frozen=True):
    """How holds and entries are looked after, in seconds: `lease` is how long a hold outlives its replica."""

    lease_seconds: float = 60.0
    write_seconds: float = 0.2
    sweep_seconds: float = 5.0


class Cache(Entry, frozen=True):
    """What is kept for whoever asks the same again: for how many seconds (0: nothing), at most so large, for whom."""

    seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 3600
    most_bytes: Annotated[int, Meta(ge=1, le=268_435_456)] = 16_777_216
    shared: bool = False


class Purchases(Entry, frozen=True):
    """How one intention is bought once. `key_seconds` is how long an Idempotency-Key is remembered."""

    key_seconds: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    key_in_use: Literal["wait", "refuse"] = "wait"
    in_doubt: Literal["refuse", "buy"] = "refuse"


class Routing(Entry, frozen=True):
    """How hard a request tries: seconds that it waits for backends in all, and what of several pictures is enough."""

    wait_seconds: Annotated[float, Meta(ge=0, le=300)] = 10.0
    partial_failure: Literal["fail", "return"] = "fail"


class State(Entry, frozen=True):
    """The server of quotas, holds, flights and the cache: for how many quiet seconds it may not answer."""

    answer_seconds: Annotated[float, Meta(gt=0, le=5)] = 0.08


class Logs(Entry, frozen=True):
    """What is written down about requests, and about which share of those that went well."""

    prompts: bool = False
    sample: Annotated[float, Meta(ge=0, le=1)] = 1.0


class _File(Entry, frozen=True):
    backends: dict[str, object] = {}
    sandbox: Sandbox = Sandbox()
    requests: Requests = Requests()
    links: Links = Links()
    pictures: Pictures = Pictures()
    serving: Serving = Serving()
    ledger: Ledger = Ledger()
    tags: frozenset[str] = frozenset()
    cache: Cache = Cache()
    purchases: Purchases = Purchases()
    routing: Routing = Routing()
    health: Health = Health()
    state: State = State()
    logs: Logs = Logs()
    metrics: Metrics = Metrics()


class GatewaySettings(Entry, frozen=True):
    """All of it. `api_keys` holds the secrets of the vendors that are on, by name.

    `traces` is the name of the variable that says where traces go, which OpenTelemetry's kit reads itself.
    """

    vendors: Mapping[str, Vendor]
    api_keys: Mapping[str, str]
    sandbox: Sandbox
    requests: Requests
    links: Links
    pictures: Pictures
    serving: Serving
    ledger: Ledger
    tags: frozenset[str]
    cache: Cache
    purchases: Purchases
    routing: Routing
    health: Health
    state: State
    logs: Logs
    metrics: Metrics
    redis_url: str | None
    cache_redis_url: str | None
    database_url: str | None
    storage: Storage | None
    traces: str | None
    signing_key: bytes | None
    admin_digest: str | None

    def __repr__(self) -> str:
        return f"GatewaySettings(vendors={sorted(self.vendors)}, on={sorted(self.api_keys)})"

    @property
    def backends(self) -> frozenset[str]:
        """The names of all backends, on or off."""
        return frozenset({*self.vendors, SANDBOX})


def read_gateway(file: Path, environment: Mapping[str, str]) -> GatewaySettings:
    """The settings of a file under an environment."""
    top = Place(file)
    found = top.decode(read_yaml(file) or {}, _File)
    vendors = {
        name: _vendor(top / "backends" / name, name, entry, environment)
        for name, entry in (top / "backends").table(found.backends, Vendor).items()
    }
    secrets = {name: _secret(top / "backends" / name, vendor, environment) for name, vendor in vendors.items()}
    _check_positive(top, found)
    _check_pictures(top / "pictures", found.pictures)
    check_health(top / "health", found.health)
    if found.pictures.public_url is not None:
        _check_address(top / "pictures" / "public_url", found.pictures.public_url)
    return GatewaySettings(
        vendors=vendors,
        api_keys={name: secret for name, secret in secrets.items() if secret},
        sandbox=found.sandbox,
        requests=found.requests,
        links=found.links,
        pictures=found.pictures,
        serving=found.serving,
        ledger=found.ledger,
        tags=_tags(top / "tags", found.tags),
        cache=found.cache,
        purchases=found.purchases,
        routing=found.routing,
        health=found.health,
        state=found.state,
        logs=found.logs,
        metrics=read_metrics(top / "metrics", found.metrics, environment),
        redis_url=_store(environment, "REDIS_URL"),
        cache_redis_url=_store(environment, "CACHE_REDIS_URL"),
        database_url=environment.get("DATABASE_URL") or None,
        storage=read_storage(environment),
        traces=_traces(environment),
        signing_key=_signing_key(environment),
        admin_digest=read_admin_digest(environment, _taken(secrets.values(), environment)),
    )


def backend_names(file: Path) -> frozenset[str]:
    """The names of all backends in a file, on or off, whatever else is wrong with it or with the environment."""
    return frozenset({*Place(file).decode(read_yaml(file) or {}, _File).backends, SANDBOX})


def _store(environment: Mapping[str, str], name: str) -> str | None:
    """The address of a server of Redis's protocol. A wrong one is not repeated: it may hold a password."""
    text = environment.get(name)
    if not text:
        return None
    try:
        address = urlsplit(text)
        usable = address.scheme in STORES and bool(address.hostname or address.path) and address.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise SettingsError(
            f"{name}: not an address such as redis://host:6379/0; it begins with one of {', '.join(STORES)}"
        )
    return text


def _traces(environment: Mapping[str, str]) -> str | None:
    """The variable that says where traces go, unless they are switched off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    return next((name for name in TRACES if environment.get(name)), None)


def _vendor(place: Place, name: str, entry: Vendor, environment: Mapping[str, str]) -> Vendor:
    if name == SANDBOX:
        raise place.error("the sandbox has a section of its own")
    variable = f"{name.upper().replace('-', '_')}_BASE_URL"
    chosen = environment.get(variable) or entry.base_url
    _check_address(place / "base_url", chosen)
    if not 0 < entry.deadline_seconds < float("inf") or entry.most_calls < 1:
        raise place.error("deadline_seconds and most_calls must be positive")
    trimmed = chosen.rstrip("/")
    return msgspec.structs.replace(entry, base_url=trimmed if urlsplit(chosen).path.strip("/") else f"{trimmed}/v1")


def _check_address(place: Place, text: str) -> None:
    try:
        address = urlsplit(text)
        usable = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:  # a bracket that is not closed, a port that is no number
        usable = False
    if not usable or "?" in text or "#" in text:
        raise place.error(f"'{text}' is not an http or https address")


def _secret(place: Place, entry: Vendor, environment: Mapping[str, str]) -> str | None:
    if entry.api_key_file:
        try:
            return Path(entry.api_key_file).read_text("utf-8").strip() or None
        except OSError as unreadable:
            raise (place / "api_key_file").error(f"cannot be read: {unreadable.strerror}") from None
        except UnicodeDecodeError:
            raise (place / "api_key_file").error("cannot be read: not a text") from None
    return environment.get(entry.api_key_env, "").strip() or None if entry.api_key_env else None


def _check_positive(top: Place, found: _File) -> None:
    for section in ("requests", "links", "pictures", "ledger"):
        entry = getattr(found, section)
        for name in entry.__struct_fields__:
            value = getattr(entry, name)
            if isinstance(value, int | float) and not 0 < value < float("inf"):
                raise (top / section / name).error(f"{value} is not a positive number")
    if not 0 < found.serving.keepalive_seconds < float("inf"):
        raise (top / "serving" / "keepalive_seconds").error(
            f"{found.serving.keepalive_seconds} is not a positive number"
        )
    may_be_zero = {
        top / "sandbox" / "delay_seconds": found.sandbox.delay_seconds,
        top / "serving" / "grace_seconds": found.serving.grace_seconds,
        top / "serving" / "drain_seconds": found.serving.drain_seconds,
    }
    for place, seconds in may_be_zero.items():
        if not 0 <= seconds < float("inf"):
            raise place.error(f"{seconds} is not a number of seconds")


def _check_pictures(place: Place, entry: Pictures) -> None:
    if entry.keep_seconds < entry.link_seconds:
        raise (place / "keep_seconds").error(f"{entry.keep_seconds} is less than link_seconds")


def _tags(place: Place, names: frozenset[str]) -> frozenset[str]:
    wrong = sorted(name for name in names if not TAG.fullmatch(name))
    if wrong:
        raise place.error(f"'{wrong[0]}' is not a tag: 1 to 32 lower-case letters, digits and _ -")
    return names


def _taken(secrets: Iterable[str | None], environment: Mapping[str, str]) -> frozenset[str]:
    """Secrets that have a job already."""
    return frozenset(secret for secret in (*secrets, environment.get("URL_SIGNING_KEY")) if secret)


def _signing_key(environment: Mapping[str, str]) -> bytes | None:
    key = environment.get("URL_SIGNING_KEY")
    if key is None:
        return None
    if len(key) < 32:  # noqa: PLR2004 (characters; half of them is 64 bits even in hex)
        raise SettingsError("URL_SIGNING_KEY: must be at least 32 characters; `openssl rand -hex 32` makes one")
    return key.encode()
