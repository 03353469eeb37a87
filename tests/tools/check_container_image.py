"""The built image: its labels, its contents, and the main job in it, hardened."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import httpx2
import pytest
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.network import Network

from service import __version__
from tests.support.gateway import with_slow_stores
from tests.support.gateway_site import await_true
from tests.support.postgres import POSTGRES_IMAGE
from tests.support.sdk_py import Call, sdk
from tests.support.servers import REDIS_IMAGE
from tools.container.engine import START_SECONDS, docker, inspected, need_engine, python, ran, running
from tools.container.named import KEY, ROOT, SETTINGS

BODY = {"model": "gpt-image-2", "prompt": "fox", "quality": "low", "size": "1024x1024"}
HEADERS = {"authorization": f"Bearer {KEY}"}
TITLE = "org.opencontainers.image."
UNCOMPILED = """
import sys, service.commands.cli
named = {name: (module.__file__ or "", module.__cached__ or "") for name, module in sys.modules.items()
         if getattr(module, "__cached__", None) and module.__file__.endswith(".py")}
from pathlib import Path
print(len(named), *(name for name, (_, kept) in named.items() if not Path(kept).exists()))
"""
TOOLS = """
import importlib.util, json, shutil
programs = "pip pip3 gcc cc c++ make ld git curl wget uv".split()
modules = "pip ensurepip setuptools wheel hatchling pytest".split()
print(json.dumps([name for name in programs if shutil.which(name)] +
                 [name for name in modules if importlib.util.find_spec(name)]))
"""
LEFT = """
import json, service
from pathlib import Path
kept = [path for path in Path("/opt/image-gateway").rglob("*") if path.name in {"cert.pem", "pip.conf"}]
shipped = [path.name for path in (Path(service.__file__).parent / "shipped").iterdir()]
print(json.dumps({"left": [*map(str, kept), *map(str, Path("/").glob("build"))], "shipped": shipped}))
"""


def test_the_image_has_its_labels_and_its_entry_point(image: str) -> None:
    config = inspected(image)["Config"]
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["image-gateway"], ["serve"])
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "service.commands.health"]
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    labels = {name.removeprefix(TITLE): value for name, value in config["Labels"].items() if name.startswith(TITLE)}
    assert labels["title"] == "image-gateway"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == __version__
    assert len(labels["revision"]) == 40
    assert labels["created"].endswith("Z")
    assert labels["description"]


def test_the_image_has_no_tools_to_install_or_build(image: str) -> None:
    assert json.loads(python(image, TOOLS)) == []


def test_the_image_has_no_files_of_the_build(image: str) -> None:
    left = json.loads(python(image, LEFT))
    assert left["left"] == []
    assert {"gateway.yaml", "models.yaml", "teams.yaml"} <= set(left["shipped"])
    assert "compose" not in left["shipped"]
    assert "PIP_" not in docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)


def test_all_imports_of_a_start_are_compiled(image: str) -> None:
    number, *uncompiled = python(image, UNCOMPILED).split()
    assert int(number) > 500
    assert uncompiled == []


@pytest.mark.parametrize(
    ("name", "was", "becomes", "reason"),
    [
        ("gateway.yaml", "enabled: true", "enabled: perhaps", "$.sandbox.enabled: "),
        ("teams.yaml", "usd_per_day: 5", "usd_per_day: -5", "$.teams.demo.limits"),
        ("models.yaml", "models:", "modles:", "$"),
    ],
)
def test_invalid_settings_are_reported_with_their_place(
    image: str, config: Path, name: str, was: str, becomes: str, reason: str
) -> None:
    text = (config / name).read_text()
    assert was in text
    (config / name).write_text(text.replace(was, becomes, 1))
    mount = ("--volume", f"{config}:/etc/image-gateway:ro", "--env", "IMAGE_GATEWAY_CONFIG=/etc/image-gateway")
    code, output = ran(image, options=mount)
    assert code == 2
    assert re.match(rf"image-gateway: /etc/image-gateway/{name}: (line \d+: )?{re.escape(reason)}", output)
    assert "Traceback" not in output


def test_a_container_without_a_gateway_is_not_healthy(image: str) -> None:
    code, output = ran(image, "health")
    assert code == 1
    assert "127.0.0.1 port 8080 does not answer" in output


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of compose.yaml, for a test to change."""
    folder = tmp_path / "config"
    folder.mkdir(mode=0o755)
    for name in ("gateway.yaml", "teams.yaml"):
        shutil.copyfile(SETTINGS / name, folder / name)
    shutil.copyfile(ROOT / "config" / "models.yaml", folder / "models.yaml")
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """A network with a Redis and a PostgreSQL, their addresses in it, and the ledger's address from outside."""

    network: str
    environment: dict[str, str]
    ledger: str


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    need_engine(REDIS_IMAGE, POSTGRES_IMAGE)
    with (
        Network() as network,
        RedisContainer(REDIS_IMAGE).with_network(network).with_network_aliases("redis"),
        PostgresContainer(POSTGRES_IMAGE, driver=None)
        .with_network(network)
        .with_network_aliases("postgres") as postgres,
    ):
        inside = f"{postgres.username}:{postgres.password}@postgres:5432/{postgres.dbname}"
        environment = {"REDIS_URL": "redis://redis:6379/0", "DATABASE_URL": f"postgresql://{inside}"}
        yield Stores(network=network.name, environment=environment, ledger=postgres.get_connection_url())


async def booked(url: str, request: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT team, backend FROM entries WHERE request_id = $1", request)
    finally:
        await connection.close()
    return [(row["team"], row["backend"]) for row in rows]


async def test_a_container_generates_books_and_ends(image: str, config: Path, stores: Stores) -> None:
    with running(image, stores.environment, config, stores.network) as gateway, sdk("new") as openai:
        await_true(lambda: gateway.health == "healthy", START_SECONDS)
        outcome = openai(Call(url=gateway.url, key=KEY, operation="generate", params=BODY))
        assert outcome.error == {}
        assert len(outcome.result["data"]) == 1
        assert gateway.stop() == 0
        assert await booked(stores.ledger, outcome.headers["x-request-id"]) == [("demo", "sandbox")]


def test_a_stopped_container_delivers_its_open_call(
    image: str, config: Path, stores: Stores, http: httpx2.Client
) -> None:
    gateway_yaml = config / "gateway.yaml"
    gateway_yaml.write_text(with_slow_stores(gateway_yaml.read_text()))
    got: list[httpx2.Response] = []
    with running(image, stores.environment, config, stores.network) as gateway:
        url = f"{gateway.url}/v1/images/generations"
        slow = {**BODY, "prompt": "fox [sandbox delay=8]"}  # longer than the grace period
        asking = threading.Thread(target=lambda: got.append(http.post(url, json=slow, headers=HEADERS)))
        asking.start()
        drawing = 'gateway_images_in_flight{backend="sandbox"} 1'
        await_true(lambda: drawing in http.get(f"{gateway.url}/metrics").text, START_SECONDS)
        assert gateway.stop() == 0
        asking.join()
    assert [reply.status_code for reply in got] == [200]
