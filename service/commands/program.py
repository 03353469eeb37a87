"""Every command of `image-gateway`, and the one that runs the gateway.

Rule: a command reads settings, calls one thing and prints. What is wrong with the settings is told at once, a line for
each, on standard error with exit code 2, never as a traceback. A gateway that cannot go on ends with one line and exit
code 1.
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
from service.adapters.changing import Changing
from service.adapters.embedded import CACHE, STATE, EmbeddedError, Watch, starting_valkey
from service.adapters.log_lines import LogLines
from service.adapters.metrics.expose import PATH, Exposition, exposed, process_registry
from service.adapters.metrics.observe import Metrics
from service.adapters.observers import Observers
from service.adapters.sql.engine import SchemaError
from service.adapters.sql.identity import read_gateway_id
from service.adapters.sql.migrate import migrate_in_time
from service.adapters.telemetry import Telemetry, configure_logs
from service.api.connections import Bounds
from service.api.ops import openapi_yaml
from service.app import Gateway, assemble
from service.commands.cache import cache
from service.commands.completion import completion
from service.commands.explain import explain
from service.commands.health import health
from service.commands.keys import keys
from service.commands.metrics import metrics as print_metrics
from service.commands.migrate import migrate as migrate_ledger
from service.commands.reference import reference, schema
from service.commands.start import Options, Start, check_parts, document, read_start, with_dev_key
from service.commands.terminal import ConfigOption, Output, OutputOption, complain, config_folder, out, print_rows, warn
from service.commands.usage import usage
from service.domain.errors import BooksUnavailable
from service.parts import VALKEY, Plans, Stores, take_lease
from service.server import Doors, PortError, ProcessFailed, ServerSettings, keep_memory, open_doors, port_of, run
from service.settings.files import SettingsError, problems_of
from service.settings.gateway import GatewaySettings
from service.settings.lines import with_lines
from service.settings.sections import Requests
from service.usecases.background import Fatal
from service.usecases.events import DatabaseAwaited, Listening, LogLineLost, ModelEnding
from service.usecases.keep_lease import LeaseHeld
from service.usecases.ports import Observer

DATA = Path("data")
HostOption = Annotated[str, typer.Option("--host", envvar="HOST", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option("--port", envvar="PORT", help="Port; 0 takes a free one.")]
DataOption = Annotated[Path, typer.Option("--data-dir", envvar="DATA_DIR", help="Folder of the embedded state.")]
DevOption = Annotated[bool, typer.Option("--dev", help="Sandbox on, one key, loopback only; needs nothing.")]

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
app.command()(reference)
app.command()(schema)


def obey() -> None:
    """Do what the arguments of this process say."""
    try:
        app()
    except SettingsError as wrong:
        refuse(with_lines(problems_of(wrong)), 2)
    except (EmbeddedError, PortError, SchemaError, LeaseHeld, BooksUnavailable) as wrong:
        refuse((str(wrong),), 2)
    except ProcessFailed as failed:
        refuse((str(failed),), 1)


def refuse(reasons: Iterable[str], code: int) -> NoReturn:
    """Say why, each reason in one line, and exit."""
    for reason in reasons:
        complain(reason)
    sys.exit(code)


def _print_version(asked: bool) -> None:  # noqa: FBT001 (typer's)
    if asked:
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
    out.print(__version__)


@app.command()
def serve(
    config: ConfigOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    data_dir: DataOption = DATA,
    dev: DevOption = False,  # noqa: FBT002
) -> None:
    """Run the gateway."""
    keep_memory()
    lines = configure_logs()
    options = Options(folder=config_folder(config), host=host, port=port, data=data_dir, dev=dev)
    start = read_start(options, os.environ)
    if dev:
        start = with_dev_key(start, data_dir)
    with closing(open_doors(host, port, start.settings.metrics, start.settings.admin)) as doors:
        _serve(options, start, doors, lines)


def _serve(options: Options, start: Start, doors: Doors, lines: LogLines) -> None:
    settings = start.settings
    metrics = Metrics(version=__version__, python=platform.python_version())
    tell, observe = Exposition(metrics, process_registry()), Observers(Telemetry(settings.logs.sample), metrics)
    lines.lost = lambda: metrics(LogLineLost())
    for problem in start.warnings:
        observe(ModelEnding(problem=problem))
    fatal = Fatal(observe)
    watch = Watch(restarted=observe, give_up=fatal.report)
    with state_of(settings, options.data, watch) as stores, _exposed(tell, doors.metrics, fatal):
        asyncio.run(bring_up_to_date(stores, settings.database.wait_seconds, observe))
        plans = Plans(
            settings=settings,
            files=start.files,
            first=start.first,
            stores=stores,
            observe=observe,
            tell=None if doors.metrics else tell,
            admin_port=port_of(doors.admin) if doors.admin else None,
            fatal=fatal,
            lease=asyncio.run(take_lease(stores, observe)),
            gateway_id=asyncio.run(read_gateway_id(stores.database_url)),
        )
        gateway = assemble(plans)
        serving = ServerSettings(
            host=options.host,
            port=options.port,
            grace_seconds=settings.serving.grace_seconds,
            drain_seconds=settings.serving.drain_seconds,
            bounds=bounds_of(settings.requests),
        )
        listening = Listening(
            address=address_of(doors.own),
            backends=gateway.backends,
            metrics=address_of(doors.metrics or doors.own) + PATH,
            admin=address_of(doors.admin or doors.own) + "/admin/v1" if settings.admin_digest else "",
        )
        run(gateway, serving, doors, lambda: announce(listening, gateway, start.secret, observe, lines))


async def bring_up_to_date(stores: Stores, seconds: float, observe: Observer) -> None:
    """The tables of the ledger, once its server is there. Raises `SchemaError` and `BooksUnavailable`."""

    def waits(problem: str) -> None:
        observe(DatabaseAwaited(problem=problem, seconds=seconds))

    await migrate_in_time(stores.database_url, seconds, waits)


def _exposed(tell: Exposition, listener: socket | None, fatal: Fatal) -> AbstractContextManager[None]:
    """Metrics on a port of their own, if they have one."""
    return exposed(tell, listener, fatal.report) if listener else nullcontext()


def address_of(listener: socket) -> str:
    """Where it listens, for people."""
    host, port, *_ = listener.getsockname()
    return f"http://{'localhost' if ':' in host else host}:{port}"


def bounds_of(entry: Requests) -> Bounds:
    """What connections may do."""
    return Bounds(
        head_seconds=entry.head_seconds, most_head_bytes=entry.most_head_bytes, stall_seconds=entry.stall_seconds
    )


@contextmanager
def state_of(settings: GatewaySettings, data: Path, watch: Watch) -> Iterator[Stores]:
    """Where the state is; what is embedded is in the data folder, for one replica."""
    if settings.redis_url and settings.database_url:
        results = settings.cache_redis_url or settings.redis_url
        yield Stores(redis_url=settings.redis_url, cache_url=results, database_url=settings.database_url, data=None)
    else:
        with starting_valkey(data / VALKEY, STATE, watch) as state, _cache_of(settings, data, watch) as cache:
            ledger = settings.database_url or f"sqlite:///{data.resolve() / 'ledger.db'}"
            yield Stores(redis_url=state(), cache_url=cache(), database_url=ledger, data=data)


def _cache_of(settings: GatewaySettings, data: Path, watch: Watch) -> AbstractContextManager[Callable[[], Changing]]:
    url = settings.cache_redis_url
    return nullcontext(lambda: url) if url else starting_valkey(data / "cache", CACHE, watch)


def announce(listening: Listening, gateway: Gateway, secret: str | None, observe: Observer, lines: LogLines) -> None:
    """Say where the gateway listens and, in dev, everything it takes to try it."""
    observe(listening)
    if secret:
        lines.write(WELCOME.format(address=listening.address, secret=secret, pictures=gateway.pictures))


WELCOME = """
The API for people: {address}/docs
Key: {secret}
Pictures land in {pictures}/ and, from the lines below, in ./fox.png

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
    """Read everything as `serve` does, and refuse what it would refuse. Nothing is made or connected to."""
    options = Options(folder=config_folder(config), host=host, port=port, data=data_dir, dev=dev)
    start = read_start(options, os.environ)
    check_parts(start)
    settings, known = start.settings, start.first.known
    for problem in start.warnings:
        warn(problem)
    on = sorted(settings.api_keys) + ["sandbox"] * settings.sandbox.enabled
    counts = f"{len(known.catalog.models)} models, {len(known.roster.teams)} teams, {len(known.roster.keys)} keys"
    out.print(f"{options.folder}: {counts}; backends on: {', '.join(on)}")


@app.command()
def faults(output: OutputOption = Output.TABLE) -> None:
    """List the ways in which the sandbox can be told to fail."""
    from service.adapters.backends.sandbox import FAULTS  # noqa: PLC0415 (`serve` does without what draws)

    print_rows(("fault",), [(name,) for name in FAULTS], output, lambda: "\n".join(FAULTS))


@app.command()
def openapi(config: ConfigOption = None) -> None:
    """Print the API as openapi.yaml."""
    sys.stdout.buffer.write(openapi_yaml(document(config_folder(config), {})))
