"""Backends, the admission to them, and their probes.

Rule: a vendor is on if its key is set, the sandbox if its section says so. The sandbox has no account.

Fails with: `SettingsError`, if no backend is on, or a proxy, a file or a failure of the sandbox cannot be used.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import structs

from service.adapters.backends.dialect import Dialect
from service.adapters.backends.http import HttpBackend, HttpBackendSettings, UnusableProxy
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.together import TogetherDialect
from service.adapters.redis.connection_pool import ConnectionQueue
from service.adapters.redis.shared_health import RedisSharedHealth
from service.composition.app_config import AppConfig, Closeable, new_id
from service.domain.circuit_breaker import BreakerRules
from service.domain.routing import SANDBOX
from service.settings.backend_settings import HttpBackendEntry
from service.settings.gateway import GatewaySettings
from service.settings.yaml_file import SettingsError
from service.usecases.background.supervisor import TaskFunction
from service.usecases.ports.backends import Backend, Backends
from service.usecases.ports.shared_health import Caps
from service.usecases.upstream.probe_backends import ProbeBackends
from service.usecases.upstream.upstream_admission import AccountLimits, UpstreamAdmission

NO_BACKEND = "No backend is on: set the environment variable of a vendor's key, or switch the sandbox on."
LOST_SECONDS = 30.0  # after its deadline, until a call counts as lost
DIALECTS: Mapping[str, type[Dialect]] = {"openai": OpenAIDialect, "together": TogetherDialect}

GATEWAY_HEADERS = {"cache-control": "no-store"}
"""Headers for another gateway: it serves nothing from its cache, because this gateway has decided about caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamParts:
    """Backends that are on, and the admission to them. `backends` are the vendors and the sandbox."""

    vendors: Mapping[str, HttpBackend]
    backends: Backends
    shared_health: RedisSharedHealth
    admission: UpstreamAdmission

    def background_tasks(self, config: AppConfig) -> Mapping[str, TaskFunction]:
        """Return the tasks that share health and, if they are on, probe blocked vendors."""
        entry = config.settings.health
        probe = ProbeBackends(admission=self.admission, backends=self.vendors, interval_seconds=entry.open_seconds)
        return {"sync backend health": self.admission.run, **({"probe backends": probe.run} if entry.probe else {})}

    def connections(self) -> tuple[Closeable, ...]:
        """Return the clients of vendors and of the shared health."""
        return (*self.vendors.values(), self.shared_health)


def build_upstream(config: AppConfig, queue: ConnectionQueue) -> UpstreamParts:
    """Build the upstream parts. Raises `SettingsError` if no backend is on."""
    settings = config.settings
    vendors = {name: build_vendor(settings, name, config.gateway_id) for name in settings.api_keys}
    backends: Backends = {**vendors, **_build_sandbox(settings)}
    if not backends:
        raise SettingsError(NO_BACKEND)
    shared_health = RedisSharedHealth(
        config.stores.redis_url, timeout_seconds=settings.redis.timeout_seconds, queue=queue
    )
    return UpstreamParts(
        vendors=vendors,
        backends=backends,
        shared_health=shared_health,
        admission=_build_admission(config, shared_health),
    )


def build_vendor(settings: GatewaySettings, name: str, gateway_id: str = "") -> HttpBackend:
    """Build the client of a vendor. Raises `SettingsError` for a proxy or a file that cannot be used."""
    entry = settings.http_backends[name]
    http_settings = HttpBackendSettings(
        base_url=entry.base_url,
        api_key=settings.api_keys[name].current,
        headers={**GATEWAY_HEADERS, **entry.headers} if entry.gateway else entry.headers,
        deadline_seconds=entry.deadline_seconds,
        connect_seconds=entry.connect_seconds,
        max_concurrent_calls=entry.max_concurrent_calls,
        proxy=entry.proxy,
        ca_file=entry.ca_file,
        relays_links=entry.relay_image_urls,
        gateway_id=gateway_id,
    )
    try:
        return HttpBackend(http_settings, DIALECTS[entry.dialect]())
    except UnusableProxy as wrong:
        place = wrong.variable or f"gateway.yaml: $.backends.{name}.proxy"
        raise SettingsError(f"{place}: {wrong}") from None
    except OSError as wrong:
        raise SettingsError(f"gateway.yaml: $.backends.{name}: {wrong}") from None


def _build_sandbox(settings: GatewaySettings) -> dict[str, Backend]:
    """Build the sandbox, if it is on. Raises `SettingsError` for an unknown failure."""
    entry = settings.sandbox
    if not entry.enabled:
        return {}
    from service.adapters.backends.sandbox.backend import SandboxBackend, SandboxSettings  # noqa: PLC0415 (4 MB of drawing)

    try:
        sandbox_settings = SandboxSettings(
            delay_seconds=entry.delay_seconds, fail=entry.fail, prompt_directives=entry.prompt_directives
        )
        return {SANDBOX: SandboxBackend(sandbox_settings)}
    except ValueError as wrong:
        raise SettingsError(f"gateway.yaml: $.sandbox.fail: {wrong}") from None


def _build_admission(config: AppConfig, shared_health: RedisSharedHealth) -> UpstreamAdmission:
    vendors, rules = config.settings.http_backends, structs.asdict(config.settings.health)
    del rules["probe"]
    return UpstreamAdmission(
        shared_health=shared_health,
        accounts={name: _account_limits(vendors[name]) for name in config.settings.api_keys},
        rules=BreakerRules(**rules),
        observer=config.observer,
        new_id=new_id,
        monotonic=time.monotonic,
    )


def _account_limits(vendor: HttpBackendEntry) -> AccountLimits:
    caps = Caps(**structs.asdict(vendor.account))
    return AccountLimits(caps=caps, lease_seconds=vendor.deadline_seconds + LOST_SECONDS)
