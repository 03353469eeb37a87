"""Every command of `image-gateway`, and the one that runs the gateway.

Rule: a command reads settings, calls one thing and prints. What is wrong with the settings is one line on standard
error and exit code 2, never a traceback. A gateway that cannot go on ends with one line and exit code 1.
"""

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from socket import socket
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from service import __version__
from service.adapters.changing import Changing
from service.adapters.embedded import CACHE, STATE, EmbeddedError, Watch, starting_valkey
from service.adapters.metrics.expose import PATH, Exposition, exposed, process_registry
from service.adapters.metrics.observe import Metrics
from service.adapters.observers import Observers
from service.adapters.sql.engine import SchemaError
from service.adapters.sql.migrate import migrate
from service.adapters.telemetry import Telemetry, configure_logs
from service.api.connections import Bounds
from service.api.ops import openapi_yaml
from service.app import Gateway, assemble, dev_key
from service.commands.cache import cache
from service.commands.explain import explain
from service.commands.health import health
from service.commands.keys import keys
from service.commands.metrics import metrics as print_metrics
from service.commands.migrate import migrate as migrate_ledger
from service.commands.reference import reference, schema
from service.commands.terminal import ConfigOption, config_folder, err, out
from service.commands.usage import usage
from service.domain.errors import BooksUnavailable
from service.parts import KEY_PREFIX, VALKEY, Plans, Stores, now, take_lease
from service.server import PortError, ProcessFailed, ServerSettings, keep_memory, open_doors, port_of, run
from service.settings.files import SettingsError
from service.settings.gateway import GatewaySettings, read_gateway
from service.settings.known import Files
from service.settings.models import read_catalog
from service.settings.secrets import kept_secret
from service.settings.sections import Requests, Sandbox
from service.settings.teams import read_teams
from service.usecases.background import Fatal
from service.usecases.events import Listening
from service.usecases.keep_lease import LeaseHeld
from service.usecases.ports import Observer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(keys, name="keys")
app.add_typer(usage, name="usage")
app.add_typer(cache, name="cache")
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
    except (SettingsError, EmbeddedError, PortError, SchemaError, LeaseHeld, BooksUnavailable) as wrong:
        err.print(f"image-gateway: {escape(str(wrong))}", style="red")
        sys.exit(2)
    except ProcessFailed as failed:
        err.print(f"image-gateway: {escape(str(failed))}", style="red")
        sys.exit(1)


@app.callback()
def root() -> None:
    """One OpenAI-compatible image API in front of several backends."""


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


@app.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[str, typer.Option(envvar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", help="Port; 0 takes a free one.")] = 8080,
    data_dir: Annotated[Path, typer.Option(envvar="DATA_DIR", help="Folder of the embedded state.")] = Path("data"),
    dev: Annotated[bool, typer.Option("--dev", help="Sandbox on, one key, loopback only; needs nothing.")] = False,  # noqa: FBT002
) -> None:
    """Run the gateway."""
    keep_memory()
    configure_logs()
    settings = read_gateway(config_folder(config) / "gateway.yaml", os.environ)
    secret = None
    if dev:
        if host not in LOOPBACK:
            raise SettingsError(f"--dev listens on loopback only, not on {host}: its key is printed")
        settings, secret = dev_settings(settings), kept_secret(data_dir / "dev-key", KEY_PREFIX)
    extra = dev_key(secret) if secret else None
    files = Files(
        folder=config_folder(config),
        today=today,
        backends=settings.backends,
        extra=extra,
        admin=settings.admin_digest,
    )
    first = files.first()
    if not first.known.roster.teams:
        raise SettingsError(f"{files.folder / 'teams.yaml'}: $.teams: no team, so nobody could call")
    doors = open_doors(host, port, settings.metrics, settings.admin)
    metrics = Metrics(version=__version__, python=platform.python_version())
    tell, observe = Exposition(metrics, process_registry()), Observers(Telemetry(settings.logs.sample), metrics)
    fatal = Fatal(observe)
    watch = Watch(restarted=observe, give_up=fatal.report)
    with state_of(settings, data_dir, watch) as stores, _exposed(tell, doors.metrics, fatal):
        asyncio.run(migrate(stores.database_url))
        lease = asyncio.run(take_lease(stores, observe))
        plans = Plans(
            settings=settings,
            files=files,
            first=first,
            stores=stores,
            observe=observe,
            tell=None if doors.metrics else tell,
            admin_port=port_of(doors.admin) if doors.admin else None,
            fatal=fatal,
            lease=lease,
        )
        gateway = assemble(plans)
        serving = ServerSettings(
            host=host,
            port=port,
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
        run(gateway, serving, doors, lambda: announce(listening, gateway, secret, observe))


def _exposed(tell: Exposition, listener: socket | None, fatal: Fatal) -> AbstractContextManager[None]:
    """Metrics on a port of their own, if they have one."""
    return exposed(tell, listener, fatal.report) if listener else nullcontext()


def address_of(listener: socket) -> str:
    """Where it listens, for people."""
    host, port, *_ = listener.getsockname()
    return f"http://{'localhost' if ':' in host else host}:{port}"


def dev_settings(settings: GatewaySettings) -> GatewaySettings:
    """What `--dev` changes: the sandbox is on and obeys, pictures are kept, and nobody waits for a load balancer."""
    return msgspec.structs.replace(
        settings,
        sandbox=Sandbox(
            enabled=True,
            delay_seconds=settings.sandbox.delay_seconds,
            fail=settings.sandbox.fail,
            obey_prompt=True,
        ),
        pictures=msgspec.structs.replace(settings.pictures, keep="all"),
        serving=msgspec.structs.replace(settings.serving, grace_seconds=0, drain_seconds=10),
    )


def bounds_of(entry: Requests) -> Bounds:
    """What connections may do."""
    return Bounds(
        head_seconds=entry.head_seconds, most_head_bytes=entry.most_head_bytes, stall_seconds=entry.stall_seconds
    )


def today() -> date:
    """Today, in UTC."""
    return now().date()


@contextmanager
def state_of(settings: GatewaySettings, data: Path, watch: Watch) -> Iterator[Stores]:
    """Where the state is; what is embedded is in the data folder, for one replica."""
    if settings.redis_url and settings.database_url:
        results = settings.cache_redis_url or settings.redis_url
        yield Stores(redis_url=settings.redis_url, cache_url=results, database_url=settings.database_url, data=None)
    elif settings.redis_url:
        raise SettingsError("DATABASE_URL: needed with REDIS_URL, so that replicas share one ledger")
    else:
        with starting_valkey(data / VALKEY, STATE, watch) as state, _cache_of(settings, data, watch) as cache:
            ledger = settings.database_url or f"sqlite:///{data.resolve() / 'ledger.db'}"
            yield Stores(redis_url=state(), cache_url=cache(), database_url=ledger, data=data)


def _cache_of(settings: GatewaySettings, data: Path, watch: Watch) -> AbstractContextManager[Callable[[], Changing]]:
    url = settings.cache_redis_url
    return nullcontext(lambda: url) if url else starting_valkey(data / "cache", CACHE, watch)


def announce(listening: Listening, gateway: Gateway, secret: str | None, observe: Observer) -> None:
    """Say where the gateway listens and, in dev, everything it takes to try it."""
    observe(listening)
    if secret:
        out.print(escape(WELCOME.format(address=listening.address, secret=secret, pictures=gateway.pictures)))


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
def check(config: ConfigOption = None) -> None:
    """Read every settings file and say what is wrong, as a start would."""
    folder = config_folder(config)
    settings = read_gateway(folder / "gateway.yaml", os.environ)
    catalog = read_catalog(folder / "models.yaml", now().date())
    found = read_teams(folder / "teams.yaml", catalog, settings.backends)
    on = sorted(settings.api_keys) + ["sandbox"] * settings.sandbox.enabled
    counts = f"{len(catalog.models)} models, {len(found.teams)} teams, {len(found.keys)} keys"
    out.print(f"{folder}: {counts}; backends on: {', '.join(on) or 'none'}")


@app.command()
def faults() -> None:
    """List the ways in which the sandbox can be told to fail."""
    from service.adapters.backends.sandbox import FAULTS  # noqa: PLC0415 (`serve` does without what draws)

    for name in FAULTS:
        out.print(name)


@app.command()
def openapi(config: ConfigOption = None) -> None:
    """Print the API as openapi.yaml."""
    sys.stdout.buffer.write(openapi_yaml(document(config_folder(config), {})))


def document(config: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """The API's description. Nothing is connected to."""
    settings = dev_settings(read_gateway(config / "gateway.yaml", environment))
    files = Files(folder=config, today=today, backends=settings.backends)
    plans = Plans(
        settings=settings,
        files=files,
        first=files.first(),
        stores=Stores(
            redis_url="redis://localhost", cache_url="redis://localhost", database_url="sqlite:///ledger.db", data=None
        ),
        observe=Telemetry(),
    )
    schema: dict[str, object] = assemble(plans).litestar.openapi_schema.to_schema()
    return schema
