"""Configuration of a start, read and checked before the gateway listens; `serve` and `check` share it.

Rule: every mistake of files, environment and options is found here, so `check` and `serve` refuse with the same words.
`serve` alone finds conditions of the moment: a used port, a folder of another gateway, a store that does not answer.

Fails with: `SettingsError`, or another error of `STARTUP_ERRORS`, with all mistakes at once.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import msgspec

from service.adapters.embedded_valkey import EmbeddedError, find_binary
from service.adapters.logs.event_log import EventLog
from service.adapters.redis.client import check_options
from service.adapters.sql.database import SQLITE, SchemaError, check_address, describe_address, parse_kind
from service.app import assemble
from service.composition.api import dev_key
from service.composition.app_config import AppConfig, StoreAddresses, new_key_secret, now
from service.domain.shutdown_warnings import build_shutdown_warnings
from service.domain.team_access import KEY_PREFIX
from service.server import PortError, check_host, check_ports
from service.settings.gateway import GatewaySettings, backend_names, read_gateway
from service.settings.gateway_file import ListenPort, SandboxSection
from service.settings.generated_secrets import check_signing_keys, read_or_create_secret
from service.settings.reloadable_files import ReloadableFiles, StampedConfig
from service.settings.secret_sources import Secret
from service.settings.self_call_check import check_no_self_call
from service.settings.storage_url import ImageFolder
from service.settings.yaml_file import Problems, SettingsError
from service.usecases.ports.observer import NULL_OBSERVER

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
STARTUP_ERRORS = (SettingsError, SchemaError, EmbeddedError, PortError)
"""Errors that a start collects, so that all of them are reported."""

NO_SERVER_URL = "unix:///nowhere/valkey.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of the command line. `folder` has the three files, `data` the embedded stores."""

    folder: Path
    host: str
    port: int
    data: Path
    dev: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConfig:
    """Settings and files that a start has read. `secret` is the key of `serve --dev`."""

    settings: GatewaySettings
    files: ReloadableFiles
    first_config: StampedConfig
    secret: str | None

    @property
    def is_embedded(self) -> bool:
        """Return whether a Valkey in the data folder has the quotas."""
        return self.settings.redis_url is None

    @property
    def warnings(self) -> list[str]:
        """Return warnings about models that are shut down, or will be."""
        known = self.first_config.config
        return build_shutdown_warnings(known.catalog, known.team_directory.teams.values(), today())


def today() -> date:
    """Return the present day in UTC."""
    return now().date()


def read_start_config(options: ServeOptions, environment: Mapping[str, str]) -> StartConfig:
    """Read and check the configuration of a start, and create nothing. Raises an error of `STARTUP_ERRORS`."""
    problems = Problems()
    settings = problems.attempt(lambda: _settings(options, environment))
    extra = dev_key(new_key_secret()) if options.dev else None
    backends = settings.all_backends if settings else _backend_names(options.folder)
    admin = settings.admin_digest if settings else None
    files = ReloadableFiles(folder=options.folder, today=today, backends=backends, dev_key=extra, admin_digest=admin)
    first = problems.attempt(files.read_first)
    if settings:
        _check(problems, settings, options, environment)
    if settings is None or first is None or problems.errors:
        raise problems.error()
    return StartConfig(settings=settings, files=files, first_config=first, secret=None)


def _settings(options: ServeOptions, environment: Mapping[str, str]) -> GatewaySettings:
    settings = read_gateway(options.folder / "gateway.yaml", environment)
    if not options.dev:
        return settings
    if options.host not in LOOPBACK:
        raise SettingsError(f"--dev listens on loopback only, not on {options.host}: its key is printed")
    return dev_settings(settings)


def _backend_names(folder: Path) -> frozenset[str] | None:
    # Readable names serve to check teams.yaml even if other parts of gateway.yaml are wrong.
    return Problems().attempt(lambda: backend_names(folder / "gateway.yaml"))


def with_dev_key(start: StartConfig, data: Path) -> StartConfig:
    """Add the key of `--dev`, which is read from the data folder or generated there."""
    secret = read_or_create_secret(data / "dev-key", KEY_PREFIX)
    files = replace(start.files, dev_key=dev_key(secret))
    return replace(start, files=files, first_config=files.read_first(), secret=secret)


def dev_settings(settings: GatewaySettings) -> GatewaySettings:
    """Return settings for `--dev`: sandbox on with prompt directives, all images stored, no grace period."""
    return msgspec.structs.replace(
        settings,
        sandbox=SandboxSection(
            enabled=True,
            delay_seconds=settings.sandbox.delay_seconds,
            fail=settings.sandbox.fail,
            prompt_directives=True,
        ),
        images=msgspec.structs.replace(settings.images, keep="all"),
        serving=msgspec.structs.replace(settings.serving, grace_seconds=0, drain_seconds=10),
    )


def _check(
    problems: Problems, settings: GatewaySettings, options: ServeOptions, environment: Mapping[str, str]
) -> None:
    # Each check is collected by itself, so that one start reports the mistakes of all of them.
    checks: tuple[Callable[[], object], ...] = (
        partial(check_ports, options.port, settings.metrics, settings.admin),
        partial(_check_listeners, options, settings),
        partial(_check_addresses, options, settings, environment),
        *(partial(_check_redis, store) for store in (settings.redis_url, settings.cache_redis_url) if store),
        partial(_check_ledger, settings, one_machine=options.dev or settings.database.one_machine),
        partial(_check_folders, options, settings),
        partial(check_signing_keys, settings, alone=settings.redis_url is None),
    )
    for check in checks:
        problems.attempt(check, STARTUP_ERRORS)


def _check_listeners(options: ServeOptions, settings: GatewaySettings) -> None:
    for place, host in (
        ("--host", options.host),
        ("gateway.yaml: $.metrics.host, or METRICS_HOST", settings.metrics.host),
        ("gateway.yaml: $.admin.host, or ADMIN_HOST", settings.admin.host),
    ):
        reason = check_host(host) if host is not None else None
        if reason:
            raise SettingsError(f"{place}: cannot listen on {host}: {reason}")


def _check_addresses(options: ServeOptions, settings: GatewaySettings, environment: Mapping[str, str]) -> None:
    own_ports: tuple[ListenPort, ...] = (settings.metrics, settings.admin)
    listeners = (
        (options.host, options.port),
        *((listener.host or options.host, listener.port) for listener in own_ports),
    )
    listening = [(host, port) for host, port in listeners if port]
    check_no_self_call(settings, options.folder / "gateway.yaml", environment, listening)


def _check_redis(store: Secret[str]) -> None:
    try:
        check_options(store.current)
    except ValueError as wrong:
        raise SettingsError(f"{store.name}: has options that cannot be used: {wrong}") from None


def _check_ledger(settings: GatewaySettings, *, one_machine: bool) -> None:
    if settings.database_url:
        check_address(settings.database_url.current())
    if settings.redis_url and not settings.database_url:
        raise SettingsError("DATABASE_URL: needed with REDIS_URL, so that replicas share one ledger")
    if settings.redis_url and settings.database_url and not one_machine:
        _check_shared(settings.database_url.current())


def _check_folders(options: ServeOptions, settings: GatewaySettings) -> None:
    if not settings.redis_url:
        find_binary()
    if not settings.redis_url or options.dev:
        check_folder("DATA_DIR", options.data)
    if isinstance(settings.storage, ImageFolder):
        check_folder("STORAGE_URL", settings.storage.path)


def _check_shared(url: str) -> None:
    if parse_kind(url) == SQLITE:
        raise SettingsError(
            f"DATABASE_URL: a {describe_address(url)} beside REDIS_URL: each machine would have a ledger of its own. "
            "Give replicas one PostgreSQL. If all are on one machine, gateway.yaml says `database: {one_machine: true}`"
        )


def check_folder(setting: str, folder: Path) -> None:
    """Raise `SettingsError` for a folder that cannot be created or written to. Leaves nothing behind."""
    try:
        existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
        with tempfile.TemporaryDirectory(prefix=".image-gateway-", dir=existing):
            pass
    except (OSError, ValueError) as unusable:
        reason = unusable.strerror if isinstance(unusable, OSError) else unusable
        raise SettingsError(f"{setting}: the folder {folder} cannot be used: {reason}") from None


def check_assembly(start: StartConfig) -> None:
    """Build a gateway as `serve` does, with unreachable stores, and discard it. Raises `SettingsError`."""
    with _spare_folder() as spare:
        settings = start.settings
        if isinstance(settings.storage, ImageFolder):
            settings = msgspec.structs.replace(settings, storage=ImageFolder(spare))
        redis, cache, database = (
            settings.redis_url,
            settings.cache_redis_url or settings.redis_url,
            settings.database_url,
        )
        stores = StoreAddresses(
            redis_url=redis.current if redis else NO_SERVER_URL,
            cache_url=cache.current if cache else NO_SERVER_URL,
            database_url=database.current if database else f"sqlite:///{spare / 'ledger.db'}",
            data=spare if start.is_embedded else None,
        )
        assemble(
            AppConfig(
                settings=settings,
                files=start.files,
                initial_files=start.first_config,
                stores=stores,
                observer=NULL_OBSERVER,
            )
        )


@contextmanager
def _spare_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="image-gateway-") as name:
        yield Path(name)


def build_openapi(config: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Build the OpenAPI document, without connecting to a store."""
    settings = dev_settings(read_gateway(config / "gateway.yaml", environment))
    files = ReloadableFiles(
        folder=config, today=today, backends=settings.all_backends, dev_key=dev_key(new_key_secret())
    )
    app_config = AppConfig(
        settings=settings,
        files=files,
        initial_files=files.read_first(),
        stores=StoreAddresses(
            redis_url=NO_SERVER_URL, cache_url=NO_SERVER_URL, database_url="sqlite:///ledger.db", data=None
        ),
        observer=EventLog(),
    )
    schema: dict[str, object] = assemble(app_config).litestar.openapi_schema.to_schema()
    return schema
