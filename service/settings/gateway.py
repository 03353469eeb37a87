"""Settings of the gateway: `gateway.yaml` and the environment, as one frozen value.

Rule: the file has no secret. Addresses and secrets come from the environment, which overrides the file. A backend
without its secret is off.

Fails with: `SettingsError`, or `SettingsErrors` with every mistake of the file and of the environment.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from service.domain.routing import SANDBOX
from service.settings.admin_key import read_admin_digest
from service.settings.backend_settings import HealthSection, HttpBackendEntry
from service.settings.gateway_file import (
    MAX_PORT,
    AdminSection,
    CacheSection,
    CorsSection,
    DatabaseSection,
    GatewayFile,
    IdempotencySection,
    ImagesSection,
    LedgerSection,
    ListenPort,
    LogsSection,
    MetricsSection,
    RedisSection,
    ReferenceImagesSection,
    RequestsSection,
    RoutingSection,
    SandboxSection,
    ServingSection,
)
from service.settings.http_urls import url_problem
from service.settings.secret_sources import Secret, read_api_key, read_secret, signing_keys
from service.settings.storage_url import Storage, read_storage
from service.settings.store_urls import read_database_url, read_redis_url
from service.settings.yaml_file import Entry, FilePlace, Problems, SettingsError, open_place, read_yaml

P = TypeVar("P", bound=ListenPort)
TRACE_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
DEFAULT_PORTS = {"http": "80", "https": "443"}
EXAMPLE = "https://app.example.com"
TAG_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class GatewaySettings(Entry, frozen=True):
    """Settings of a replica.

    Attributes:
        api_keys: Keys of the vendors that are on, by backend.
        traces_variable: Name of the variable with the address of traces, which OpenTelemetry reads itself.
    """

    http_backends: Mapping[str, HttpBackendEntry]
    api_keys: Mapping[str, Secret[str]]
    sandbox: SandboxSection
    requests: RequestsSection
    cors: CorsSection
    reference_images: ReferenceImagesSection
    images: ImagesSection
    serving: ServingSection
    ledger: LedgerSection
    tags: frozenset[str]
    cache: CacheSection
    idempotency: IdempotencySection
    routing: RoutingSection
    health: HealthSection
    redis: RedisSection
    database: DatabaseSection
    logs: LogsSection
    metrics: MetricsSection
    admin: AdminSection
    redis_url: Secret[str] | None
    cache_redis_url: Secret[str] | None
    database_url: Secret[str] | None
    storage: Storage | None
    traces_variable: str | None
    signing_keys: Secret[tuple[bytes, ...]] | None
    admin_digest: Secret[str] | None

    def __repr__(self) -> str:
        return f"GatewaySettings(vendors={sorted(self.http_backends)}, on={sorted(self.api_keys)})"

    @property
    def store_urls(self) -> tuple[Secret[str], ...]:
        """Return the addresses of stores that the environment sets."""
        return tuple(address for address in (self.redis_url, self.cache_redis_url, self.database_url) if address)

    @property
    def all_backends(self) -> frozenset[str]:
        """Return the names of all backends, on or off."""
        return frozenset({*self.http_backends, SANDBOX})


def read_gateway(file: Path, environment: Mapping[str, str]) -> GatewaySettings:
    """Read the settings of a file and of the environment, which overrides it. Raises `SettingsError`."""
    with open_place(file) as top:
        return _read(top, top.decode(read_yaml(file) or {}, GatewayFile), environment)


def _read(top: FilePlace, file: GatewayFile, environment: Mapping[str, str]) -> GatewaySettings:
    # Mistakes are collected in `top`, so that one start reports all of them; a wrong value is None until then.
    attempt = top.attempt
    http_backends: dict[str, HttpBackendEntry] = {}
    api_keys: dict[str, Secret[str]] = {}
    for name, entry in (top / "backends").table(file.backends, HttpBackendEntry).items():
        place = top / "backends" / name
        with top.collecting():
            http_backends[name] = _http_backend(place, name, entry, environment)
        with top.collecting():
            key = read_api_key(place, entry.api_key_env, entry.api_key_file, environment, gateway=entry.gateway)
            api_keys |= {name: key} if key else {}
    signing = attempt(lambda: read_secret(environment, "URL_SIGNING_KEY", signing_keys, blank_is_none=False))
    attempt(lambda: _check_images(top / "images", file.images))
    attempt(lambda: _check_origins(top / "cors" / "origins", file.cors.origins))
    attempt(lambda: _check_health(top / "health", file.health))
    attempt(lambda: _check_public_url(top / "images" / "public_url", file.images.public_url))
    return GatewaySettings(
        http_backends=http_backends,
        api_keys=api_keys,
        sandbox=file.sandbox,
        requests=file.requests,
        cors=file.cors,
        reference_images=file.reference_images,
        images=file.images,
        serving=file.serving,
        ledger=file.ledger,
        tags=attempt(lambda: _tags(top / "tags", file.tags)) or frozenset(),
        cache=file.cache,
        idempotency=file.idempotency,
        routing=file.routing,
        health=file.health,
        redis=file.redis,
        database=file.database,
        logs=file.logs,
        metrics=attempt(lambda: _read_port(top / "metrics", file.metrics, "metrics", environment)) or file.metrics,
        admin=attempt(lambda: _read_port(top / "admin", file.admin, "admin", environment)) or file.admin,
        redis_url=attempt(lambda: read_redis_url(environment, "REDIS_URL")),
        cache_redis_url=attempt(lambda: read_redis_url(environment, "CACHE_REDIS_URL")),
        database_url=attempt(lambda: read_database_url(environment)),
        storage=attempt(lambda: read_storage(environment)),
        traces_variable=_traces_variable(environment),
        signing_keys=signing,
        admin_digest=attempt(
            lambda: read_admin_digest(environment, (*api_keys.values(), *([signing] if signing else ())))
        ),
    )


def backend_names(file: Path) -> frozenset[str]:
    """Return the names of all backends in a file, on or off, despite other mistakes in it or in the environment."""
    top = FilePlace(file, problems=Problems())  # `read_gateway` reports the mistakes
    return frozenset({*top.decode(read_yaml(file) or {}, GatewayFile).backends, SANDBOX})


def _traces_variable(environment: Mapping[str, str]) -> str | None:
    """Return the name of the variable with the address of traces, unless traces are off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    return next((name for name in TRACE_VARIABLES if environment.get(name)), None)


def base_url_variable(backend: str) -> str:
    """Return the name of the variable that overrides the base URL of a backend."""
    return f"{backend.upper().replace('-', '_')}_BASE_URL"


def _http_backend(
    place: FilePlace, name: str, entry: HttpBackendEntry, environment: Mapping[str, str]
) -> HttpBackendEntry:
    if name == SANDBOX:
        raise place.error("the sandbox has a section of its own")
    variable = base_url_variable(name)
    base_url = environment.get(variable, "").strip()
    base_url_in_force = base_url or entry.base_url
    if wrong := url_problem(base_url_in_force):
        raise SettingsError(f"{variable}: {wrong}") if base_url else (place / "base_url").error(wrong)
    trimmed = base_url_in_force.rstrip("/")
    return msgspec.structs.replace(
        entry, base_url=trimmed if urlsplit(base_url_in_force).path.strip("/") else f"{trimmed}/v1"
    )


def _check_public_url(place: FilePlace, address: str | None) -> None:
    if address is not None and (wrong := url_problem(address)):
        raise place.error(wrong)


def _check_images(place: FilePlace, entry: ImagesSection) -> None:
    if entry.keep_seconds < entry.link_seconds:
        raise (place / "keep_seconds").error(f"{entry.keep_seconds} is less than link_seconds")


def _tags(place: FilePlace, names: frozenset[str]) -> frozenset[str]:
    wrong = sorted(name for name in names if not TAG_PATTERN.fullmatch(name))
    if wrong:
        raise place.error(f"'{wrong[0]}' is not a tag: 1 to 32 lower-case letters, digits and _ -")
    return names


def _check_origins(place: FilePlace, origins: frozenset[str]) -> None:
    # Origins are compared as texts, so they must be spelled as browsers send them. `null` is the origin of many pages.
    for origin in sorted(origins - {"*"}):
        match = ORIGIN.fullmatch(origin)
        if not match:
            raise place.error(f"'{origin}' is not an origin: a scheme and a host in lower case, such as {EXAMPLE}")
        if match["port"] == DEFAULT_PORTS.get(match["scheme"], ""):
            raise place.error(f"'{origin}' never matches: browsers leave port {match['port']} out")


def _check_health(place: FilePlace, entry: HealthSection) -> None:
    if entry.open_seconds > entry.max_open_seconds:
        raise (place / "open_seconds").error(f"{entry.open_seconds} is more than max_open_seconds")


def _read_port(place: FilePlace, entry: P, name: str, environment: Mapping[str, str]) -> P:
    # <NAME>_HOST and <NAME>_PORT override the section `name`, which is metrics or admin.
    host, port = environment.get(f"{name.upper()}_HOST"), environment.get(f"{name.upper()}_PORT")
    if port and not (port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
        raise SettingsError(f"{name.upper()}_PORT: '{port[:20]}' is not a port")
    port_entry = msgspec.structs.replace(entry, host=host or entry.host, port=int(port) if port else entry.port)
    if port_entry.host and port_entry.port is None:
        raise place.error(f"a host needs a port; without one the gateway's own has {name}")
    return port_entry
