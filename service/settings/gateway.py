"""Reads `gateway.yaml` and the environment into one frozen value.

Rule: the file says how, the environment says where and with which secret; a backend without its secret is off. Wrong
values, of either origin, stop the start with `SettingsError`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from service.domain.routing import SANDBOX
from service.settings.admin_key import read_admin_digest
from service.settings.backend_health import HealthSection, check_health
from service.settings.cors import CorsSection, check_origins
from service.settings.gateway_file import (
    CacheSection,
    DatabaseSection,
    GatewayFile,
    HttpBackendEntry,
    IdempotencySection,
    ImagesSection,
    LedgerSection,
    LogsSection,
    RedisSection,
    ReferenceImagesSection,
    RequestsSection,
    RoutingSection,
    SandboxSection,
    ServingSection,
)
from service.settings.http_urls import url_problem
from service.settings.listen_ports import AdminSection, read_port
from service.settings.metrics import MetricsSection
from service.settings.secret_sources import Secret, read_api_key, read_secret, signing_keys
from service.settings.storage_url import Storage, read_storage
from service.settings.store_urls import read_database_url, read_redis_url
from service.settings.yaml_file import Entry, FilePlace, Problems, SettingsError, open_place, read_yaml

TRACE_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TAG_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class GatewaySettings(Entry, frozen=True):
    """All of it. `api_keys` holds the secrets of the vendors that are on, by name.

    `traces_variable` is the name of the variable that says where traces go, which OpenTelemetry's kit reads itself.
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
        """The addresses of stores that were given."""
        return tuple(address for address in (self.redis_url, self.cache_redis_url, self.database_url) if address)

    @property
    def all_backends(self) -> frozenset[str]:
        """The names of all backends, on or off."""
        return frozenset({*self.http_backends, SANDBOX})


def read_gateway(file: Path, environment: Mapping[str, str]) -> GatewaySettings:
    """The settings of a file under an environment."""
    with open_place(file) as top:
        return _read(top, top.decode(read_yaml(file) or {}, GatewayFile), environment)


def _read(top: FilePlace, file: GatewayFile, environment: Mapping[str, str]) -> GatewaySettings:
    """The settings; what is wrong is collected, and what it would have been is left out."""
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
    attempt(lambda: check_origins(top / "cors" / "origins", file.cors.origins))
    attempt(lambda: check_health(top / "health", file.health))
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
        metrics=attempt(lambda: read_port(top / "metrics", file.metrics, "metrics", environment)) or file.metrics,
        admin=attempt(lambda: read_port(top / "admin", file.admin, "admin", environment)) or file.admin,
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
    """The names of all backends in a file, on or off, whatever else is wrong with it or with the environment."""
    top = FilePlace(file, problems=Problems())  # what is wrong is told by who reads the rest
    return frozenset({*top.decode(read_yaml(file) or {}, GatewayFile).backends, SANDBOX})


def _traces_variable(environment: Mapping[str, str]) -> str | None:
    """The variable that says where traces go, unless they are switched off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    return next((name for name in TRACE_VARIABLES if environment.get(name)), None)


def base_url_variable(backend: str) -> str:
    """The variable that says where a backend is."""
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
