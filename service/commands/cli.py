"""Command line: all commands of `image-gateway`, and `serve`, which runs the gateway.

Rule: a command reads settings, calls one use case and prints.

Fails with: a line for each mistake of the settings on standard error and exit code 2, never a traceback. A gateway that
cannot continue ends with one line and exit code 1.
"""

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from socket import socket
from typing import Annotated, NoReturn

import typer

from service import __version__
from service.adapters.dynamic_text import DynamicText
from service.adapters.embedded_valkey import CACHE_OPTIONS, STATE_OPTIONS, EmbeddedError, Supervision, start_valkey
from service.adapters.logs.event_log import EventLog, configure_logging
from service.adapters.logs.nonblocking_writer import NonblockingWriter
from service.adapters.metrics.expose import PATH, Exposition, metrics_server, process_registry
from service.adapters.metrics.observer import MetricsObserver
from service.adapters.sql.database import SchemaError
from service.adapters.sql.gateway_id import read_gateway_id
from service.adapters.sql.migrate import migrate_with_retry
from service.api.http.connection_limits import ConnectionLimits
from service.api.routes.health_and_docs import openapi_yaml
from service.app import Gateway, assemble
from service.commands.cache import cache
from service.commands.common import (
    ConfigOption,
    Output,
    OutputOption,
    config_folder,
    print_error,
    print_rows,
    print_warning,
    stdout,
)
from service.commands.completion import completion
from service.commands.explain import explain
from service.commands.health import health
from service.commands.keys import keys
from service.commands.metrics_reference import metrics as print_metrics
from service.commands.migrate import migrate as migrate_ledger
from service.commands.settings_reference import schema, settings_reference
from service.commands.startup import (
    ServeOptions,
    StartConfig,
    build_openapi,
    check_assembly,
    read_start_config,
    with_dev_key,
)
from service.commands.usage import usage
from service.composition.app_config import AppConfig, StoreAddresses
from service.composition.money import VALKEY_FOLDER, take_lease
from service.domain.errors import LedgerUnavailable
from service.server import (
    Listeners,
    PortError,
    ProcessFailed,
    ServerSettings,
    open_listeners,
    port_number,
    run,
    tune_malloc,
)
from service.settings.gateway import GatewaySettings
from service.settings.gateway_file import RequestsSection
from service.settings.line_numbers import with_lines
from service.settings.yaml_file import SettingsError, to_problems
from service.usecases.background.supervisor import FatalReport
from service.usecases.money.ledger_lease import LeaseHeld
from service.usecases.ports.events import Listening, ModelShutdownWarning
from service.usecases.ports.observer import Observer, ObserverGroup

DATA = Path("data")
HostOption = Annotated[str, typer.Option("--host", envvar="HOST", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option("--port", envvar="PORT", help="Port; 0 takes a free one.")]
DataOption = Annotated[Path, typer.Option("--data-dir", envvar="DATA_DIR", help="Folder of the embedded stores.")]
DevOption = Annotated[bool, typer.Option("--dev", help="Sandbox on, one key, loopback only; needs no settings.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys, name="keys")
app.add_typer(usage, name="usage")
app.add_typer(cache, name="cache")
app.command()(completion)
app.command()(explain)
app.command()(health)
app.command("metrics")(print_metrics)
app.command("migrate")(migrate_ledger)
app.command("reference")(settings_reference)
app.command()(schema)


def run_cli() -> None:
    """Run the command of this process's arguments."""
    try:
        app()
    except SettingsError as wrong:
        exit_with(with_lines(to_problems(wrong)), 2)
    except (EmbeddedError, PortError, SchemaError, LeaseHeld, LedgerUnavailable) as wrong:
        exit_with((str(wrong),), 2)
    except ProcessFailed as failed:
        exit_with((str(failed),), 1)


def exit_with(reasons: Iterable[str], code: int) -> NoReturn:
    """Print each reason in one line, and exit."""
    for reason in reasons:
        print_error(reason)
    sys.exit(code)


def _print_version(requested: bool) -> None:  # noqa: FBT001 (typer's)
    if requested:
        version()
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
]


@app.callback()
def root(shown: VersionOption = False) -> None:  # noqa: FBT002
    """One OpenAI-compatible image API in front of several backends."""
    del shown


@app.command()
def version() -> None:
    """Print the version."""
    stdout.print(__version__)


@app.command()
def serve(
    config: ConfigOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    data_dir: DataOption = DATA,
    dev: DevOption = False,  # noqa: FBT002
) -> None:
    """Run the gateway."""
    tune_malloc()
    log_writer = configure_logging()
    options = ServeOptions(folder=config_folder(config), host=host, port=port, data=data_dir, dev=dev)
    start = read_start_config(options, os.environ)
    if dev:
        start = with_dev_key(start, data_dir)
    with closing(open_listeners(host, port, start.settings.metrics, start.settings.admin)) as listeners:
        _serve(options, start, listeners, log_writer)


def _serve(options: ServeOptions, start: StartConfig, listeners: Listeners, log_writer: NonblockingWriter) -> None:
    settings = start.settings
    metrics = MetricsObserver(version=__version__, python=platform.python_version())
    exposition = Exposition(metrics, process_registry())
    observer = ObserverGroup(metrics, EventLog(settings.logs.sample))  # a log line follows its metrics
    log_writer.observer = observer
    for problem in start.warnings:
        observer.record(ModelShutdownWarning(problem=problem))
    fatal = FatalReport(observer)
    supervision = Supervision(observer, fatal)
    with (
        open_stores(settings, options.data, supervision) as stores,
        _metrics_server(exposition, listeners.metrics, fatal),
    ):
        # Metrics are served before the migration, which may wait for the database. The lease comes after it, because
        # the migration creates its table, and before any hold is counted.
        asyncio.run(migrate_with_retry(stores.database_url, settings.database.wait_seconds, observer))
        app_config = AppConfig(
            settings=settings,
            files=start.files,
            initial_files=start.first_config,
            stores=stores,
            observer=observer,
            metrics_renderer=None if listeners.metrics else exposition,
            admin_port=port_number(listeners.admin) if listeners.admin else None,
            fatal=fatal,
            lease=asyncio.run(take_lease(stores, observer)),
            gateway_id=asyncio.run(read_gateway_id(stores.database_url)),
        )
        gateway = assemble(app_config)
        serving = ServerSettings(
            host=options.host,
            port=options.port,
            grace_seconds=settings.serving.grace_seconds,
            drain_seconds=settings.serving.drain_seconds,
            connection_limits=to_connection_limits(settings.requests),
        )
        listening = Listening(
            address=listen_address(listeners.gateway),
            backends=gateway.backends,
            metrics=listen_address(listeners.metrics or listeners.gateway) + PATH,
            admin=listen_address(listeners.admin or listeners.gateway) + "/admin/v1" if settings.admin_digest else "",
        )
        run(gateway, serving, listeners, lambda: print_welcome(listening, gateway, start.secret, observer, log_writer))


def _metrics_server(
    exposition: Exposition, listener: socket | None, fatal: FatalReport
) -> AbstractContextManager[None]:
    return metrics_server(exposition, listener, fatal.report) if listener else nullcontext()


def listen_address(listener: socket) -> str:
    """Return the address of a listener as a URL."""
    host, port, *_ = listener.getsockname()
    return f"http://{'localhost' if ':' in host else host}:{port}"


def to_connection_limits(entry: RequestsSection) -> ConnectionLimits:
    """Convert the settings into the limits of connections."""
    return ConnectionLimits(
        head_seconds=entry.head_seconds, max_head_bytes=entry.max_head_bytes, stall_seconds=entry.stall_seconds
    )


@contextmanager
def open_stores(settings: GatewaySettings, data: Path, supervision: Supervision) -> Iterator[StoreAddresses]:
    """Yield the addresses of the stores; embedded ones start in the data folder, for one replica."""
    if settings.redis_url and settings.database_url:
        cache_url = settings.cache_redis_url or settings.redis_url
        yield StoreAddresses(
            redis_url=settings.redis_url.current,
            cache_url=cache_url.current,
            database_url=settings.database_url.current,
            data=None,
        )
    else:
        with (
            start_valkey(data / VALKEY_FOLDER, STATE_OPTIONS, supervision) as state,
            _open_cache(settings, data, supervision) as cache,
        ):
            ledger = (
                settings.database_url.current if settings.database_url else f"sqlite:///{data.resolve() / 'ledger.db'}"
            )
            yield StoreAddresses(redis_url=state(), cache_url=cache(), database_url=ledger, data=data)


def _open_cache(
    settings: GatewaySettings, data: Path, supervision: Supervision
) -> AbstractContextManager[Callable[[], DynamicText]]:
    url = settings.cache_redis_url
    return nullcontext(lambda: url.current) if url else start_valkey(data / "cache", CACHE_OPTIONS, supervision)


def print_welcome(
    listening: Listening, gateway: Gateway, secret: str | None, observer: Observer, log_writer: NonblockingWriter
) -> None:
    """Log the addresses and, with --dev, print a key and commands to try the gateway."""
    observer.record(listening)
    if secret:
        log_writer.write(WELCOME.format(address=listening.address, secret=secret, folder=gateway.image_storage))


WELCOME = """
Documentation: {address}/docs
Key: {secret}
Images are stored in {folder}/; the commands below write ./fox.png

curl -s {address}/v1/images/generations -H 'Authorization: Bearer {secret}' \
-H 'Content-Type: application/json' \
-d '{{"model":"gpt-image-2","prompt":"a red fox in the snow","size":"1024x1024","quality":"low"}}' \
| python3 -c "import sys,json,base64; \
open('fox.png','wb').write(base64.b64decode(json.load(sys.stdin)['data'][0]['b64_json']))"

from openai import OpenAI  # pip install openai
import base64
client = OpenAI(base_url="{address}/v1", api_key="{secret}")
reply = client.images.generate(model="gpt-image-2", prompt="a red fox in the snow", size="1024x1024", quality="low")
open("fox.png", "wb").write(base64.b64decode(reply.data[0].b64_json))

Stop with Ctrl-C.
"""


@app.command()
def check(
    config: ConfigOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    data_dir: DataOption = DATA,
    dev: DevOption = False,  # noqa: FBT002
) -> None:
    """Read all settings as `serve` does, and report every mistake. Creates nothing and connects to nothing."""
    options = ServeOptions(folder=config_folder(config), host=host, port=port, data=data_dir, dev=dev)
    start = read_start_config(options, os.environ)
    check_assembly(start)
    settings, known = start.settings, start.first_config.config
    for problem in start.warnings:
        print_warning(problem)
    enabled_backends = sorted(settings.api_keys) + ["sandbox"] * settings.sandbox.enabled
    directory = known.team_directory
    counts = f"{len(known.catalog.models)} models, {len(directory.teams)} teams, {len(directory.keys)} keys"
    stdout.print(f"{options.folder}: {counts}; backends on: {', '.join(enabled_backends)}")


@app.command()
def faults(output: OutputOption = Output.TABLE) -> None:
    """List the failures that the sandbox can imitate."""
    from service.adapters.backends.sandbox.backend import FAULTS  # noqa: PLC0415 (`serve` needs the sandbox only if it is on)

    print_rows(("fault",), [(name,) for name in FAULTS], output, lambda: "\n".join(FAULTS))


@app.command()
def openapi(config: ConfigOption = None) -> None:
    """Print the API as openapi.yaml."""
    sys.stdout.buffer.write(openapi_yaml(build_openapi(config_folder(config), {})))
