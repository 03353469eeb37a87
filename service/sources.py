"""What is outside: the vendors, the sandbox, the links of callers and who traces, made from the settings.

Rule: only `app.py` calls this. What cannot work stops the start with `SettingsError`.
"""

from collections.abc import Mapping

from service import __version__
from service.adapters.backends.dialect import Dialect
from service.adapters.backends.http import HttpBackend, HttpSettings, UnusableProxy
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.together import TogetherDialect
from service.adapters.extras import needs
from service.adapters.links import GuardedLinks, LinkSettings
from service.domain.routing import SANDBOX
from service.settings.files import SettingsError
from service.settings.gateway import GatewaySettings
from service.usecases.ports import Backend
from service.usecases.traces import Tracer, Untraced

DIALECTS: Mapping[str, type[Dialect]] = {"openai": OpenAIDialect, "together": TogetherDialect}


GATEWAY_HEADERS = {"cache-control": "no-store"}
"""For another gateway: whether something may come from a cache was decided here."""


def vendor(settings: GatewaySettings, name: str, gateway_id: str = "") -> HttpBackend:
    """A vendor that is on, behind its dialect. Raises `SettingsError` for a proxy or a file that cannot be used."""
    entry = settings.vendors[name]
    chosen = HttpSettings(
        base_url=entry.base_url,
        api_key=settings.api_keys[name],
        headers={**GATEWAY_HEADERS, **entry.headers} if entry.gateway else entry.headers,
        deadline=entry.deadline_seconds,
        connect_seconds=entry.connect_seconds,
        most_calls=entry.most_calls,
        proxy=entry.proxy,
        ca_file=entry.ca_file,
        relays_links=entry.relay_image_urls,
        gateway_id=gateway_id,
    )
    try:
        return HttpBackend(chosen, DIALECTS[entry.dialect]())
    except UnusableProxy as wrong:
        place = wrong.variable or f"gateway.yaml: $.backends.{name}.proxy"
        raise SettingsError(f"{place}: {wrong}") from None
    except OSError as wrong:
        raise SettingsError(f"gateway.yaml: $.backends.{name}: {wrong}") from None


def sandbox(settings: GatewaySettings) -> dict[str, Backend]:
    """The sandbox, if it is on. Raises `SettingsError` for a way to fail that it does not know."""
    entry = settings.sandbox
    if not entry.enabled:
        return {}
    from service.adapters.backends.sandbox import SandboxBackend, SandboxSettings  # noqa: PLC0415 (4 MB of drawing)

    try:
        chosen = SandboxSettings(delay_seconds=entry.delay_seconds, fail=entry.fail, obey_prompt=entry.obey_prompt)
        return {SANDBOX: SandboxBackend(chosen)}
    except ValueError as wrong:
        raise SettingsError(f"gateway.yaml: $.sandbox.fail: {wrong}") from None


def links_of(settings: GatewaySettings) -> GuardedLinks:
    """What fetches callers' pictures. Raises `SettingsError` for networks or files that are none."""
    entry = settings.links
    try:
        return GuardedLinks(
            LinkSettings(
                most_bytes=settings.requests.most_picture_bytes,
                seconds=entry.seconds,
                allow_networks=entry.allow_networks,
                allow_ports=entry.allow_ports,
                ca_file=entry.ca_file,
            ),
        )
    except (ValueError, OSError) as wrong:
        raise SettingsError(f"gateway.yaml: $.links: {wrong}") from None


def tracer_of(settings: GatewaySettings) -> Tracer:
    """What follows requests, if anything does. Raises `SettingsError` where its libraries are not installed."""
    if not settings.traces:
        return Untraced()
    try:
        from service.adapters.tracing.otlp import OtlpTracer  # noqa: PLC0415 (most do not need it)
    except ImportError:
        raise SettingsError(f"{settings.traces}: {needs('otel')}") from None
    return OtlpTracer({name: entry.dialect for name, entry in settings.vendors.items()}, __version__)
