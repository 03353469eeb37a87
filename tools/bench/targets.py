"""What is measured alone: the gateway, before one upstream.

Rule: it runs as a process of its own, without coverage and as in production, with one team, and keeps only pictures
that are asked for by address.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.domain.team_access import key_digest
from tests.simulators.pictures import Sketch, drawn
from tests.support.gateway import GatewayProcess, patient
from tools.bench.load import Ask, form_ask, json_ask

CONFIG = Path(__file__).parents[2] / "config"
KEY = "igw_bench"
TEAMS = f"teams: {{bench: {{keys: [{{id: bench, sha256: {key_digest(KEY)}}}]}}}}"
MAKE_TABLES = """import asyncio, sys
from service.adapters.sql.migrate import migrate
asyncio.run(migrate(sys.argv[1]))"""  # a first start makes them, and takes 10 MB for what does it; others do not
REFERENCES = 16
REFERENCE_BYTES = 3_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """A process that answers."""

    name: str
    pid: int
    url: str


@contextmanager
def folder() -> Iterator[Path]:
    """A place for data and settings, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        shutil.copytree(CONFIG, Path(name) / "config")
        (Path(name) / "config" / "teams.yaml").write_text(TEAMS)
        settings = Path(name) / "config" / "gateway.yaml"
        without_cache = settings.read_text().replace("  seconds: 3600 #", "  seconds: 0 #")
        settings.write_text(without_cache.replace("  keep: all ", "  keep: linked "))
        subprocess.run([sys.executable, "-c", MAKE_TABLES, f"sqlite:///{name}/data/ledger.db"], check=True)
        yield Path(name)


def environment(place: Path, upstream: str) -> dict[str, str]:
    """What the gateway is told."""
    return {
        "IMAGE_GATEWAY_CONFIG": str(place / "config"),
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": upstream,
        "COVERAGE_PROCESS_CONFIG": "",
    }


@contextmanager
def gateway(upstream: str) -> Iterator[Target]:
    """The product, with a timeout of its store for a busy machine."""
    with folder() as place:
        settings = place / "config" / "gateway.yaml"
        settings.write_text(patient(settings.read_text()))
        with GatewayProcess(place / "data", environment(place, upstream), options=(), fork=False) as process:
            yield Target("gateway", process.pid, process.url)


def generation(picture_bytes: int, **more: object) -> Ask:
    """A generation whose picture will have that many bytes."""
    document = {"model": "gpt-image-2", "prompt": f"a picture of {picture_bytes} bytes", "quality": "low", **more}
    return json_ask("/v1/images/generations", KEY, document)


def edit(picture_bytes: int) -> Ask:
    """An edit of 16 pictures of 3 MB."""
    fields = {"model": "gpt-image-2", "prompt": f"a picture of {picture_bytes} bytes", "quality": "low"}
    return form_ask("/v1/images/edits", KEY, fields, [reference(index) for index in range(REFERENCES)])


def reference(index: int) -> bytes:
    """A PNG of 3 MB, most of it noise behind the picture."""
    return drawn(Sketch(size=(64, 64), index=index, length=REFERENCE_BYTES))
