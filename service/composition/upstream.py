"""Builds the backends, the admission to them, and their probes.

Rule: only `app.py` calls this. What cannot work stops the start with `SettingsError`.
"""

import time
from collections.abc import Mapping

from msgspec import structs

from service.adapters.backends.dialect import Dialect
from service.adapters.backends.http import HttpBackend, HttpBackendSettings, UnusableProxy
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.together import TogetherDialect
from service.adapters.redis.connection_pool import ConnectionQueue
from service.adapters.redis.shared_health import RedisSharedHealth
from service.composition.app_config import AppConfig, new_id
from service.domain.circuit_breaker import BreakerRules
from service.domain.routing import SANDBOX
from service.settings.gateway import GatewaySettings
from service.settings.gateway_file import HttpBackendEntry
from service.settings.yaml_file import SettingsError
from service.usecases.background.supervisor import TaskFunction
from service.usecases.ports.backends import Backend, Probeable
from service.usecases.ports.shared_health import Caps
from service.usecases.upstream.probe_backends import ProbeBackends
from service.usecases.upstream.upstream_admission import AccountLimits, UpstreamAdmission

LOST_SECONDS = 30.0  # beyond its deadline, until a call is taken for lost

DIALECTS: Mapping[str, type[Dialect]] = {"openai": OpenAIDialect, "together": TogetherDialect}


GATEWAY_HEADERS = {"cache-control": "no-store"}
"""For another gateway: whether something may come from a cache was decided here."""


def build_vendor(settings: GatewaySettings, name: str, gateway_id: str = "") -> HttpBackend:
    """A vendor that is on, behind its dialect. Raises `SettingsError` for a proxy or a file that cannot be used."""
    entry = settings.http_backends[name]
    http_settings = HttpBackendSettings(
        base_url=entry.base_url,
        api_key=settings.api_keys[name],
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


def build_sandbox(settings: GatewaySettings) -> dict[str, Backend]:
    """The sandbox, if it is on. Raises `SettingsError` for a way to fail that it does not know."""
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


def build_shared_health(config: AppConfig, crowd: ConnectionQueue) -> RedisSharedHealth:
    """What replicas share about backends."""
    return RedisSharedHealth(
        config.stores.redis_url, timeout_seconds=config.settings.redis.timeout_seconds, queue=crowd
    )


def build_admission(config: AppConfig, shared_health: RedisSharedHealth) -> UpstreamAdmission:
    """Whose turn it is at the vendors that are on. The sandbox has no account."""
    vendors, rules = config.settings.http_backends, structs.asdict(config.settings.health)
    del rules["probe"]
    return UpstreamAdmission(
        shared_health=shared_health,
        accounts={name: _account_limits(vendors[name]) for name in config.settings.api_keys},
        rules=BreakerRules(**rules),
        observe=config.observe,
        new_id=new_id,
        monotonic=time.monotonic,
    )


def build_probe_tasks(
    config: AppConfig, admission: UpstreamAdmission, vendors: Mapping[str, Probeable]
) -> Mapping[str, TaskFunction]:
    """What goes on behind the requests where vendors that are set aside are asked for something free."""
    entry = config.settings.health
    probe = ProbeBackends(admission=admission, backends=vendors, interval_seconds=entry.open_seconds)
    return {"probe backends": probe.run} if entry.probe else {}


def _account_limits(vendor: HttpBackendEntry) -> AccountLimits:
    caps = Caps(**structs.asdict(vendor.account))
    return AccountLimits(caps=caps, lease_seconds=vendor.deadline_seconds + LOST_SECONDS)
