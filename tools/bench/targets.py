"""The gateway alone, before one upstream.

Rule: it runs as a separate process, without coverage and as in production. It has one team and stores only images that
are requested by URL.
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
from tests.simulators.images import Sketch, draw
from tests.support.gateway import GatewayProcess, with_slow_stores
from tools.bench.load import Ask, form_ask, json_ask

CONFIG = Path(__file__).parents[2] / "config"
KEY = "igw_bench"
TEAMS = f"teams: {{bench: {{keys: [{{id: bench, sha256: {key_digest(KEY)}}}]}}}}"
MAKE_TABLES = """import asyncio, sys
from service.adapters.sql.migrate import migrate
asyncio.run(migrate(sys.argv[1]))"""  # a first start creates the tables and needs 10 MB more; later starts do not
REFERENCES = 16
REFERENCE_BYTES = 3_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """A serving process."""

    name: str
    pid: int
    url: str


@contextmanager
def folder() -> Iterator[Path]:
    """Make a temporary folder for data and settings."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        shutil.copytree(CONFIG, Path(name) / "config")
        (Path(name) / "config" / "teams.yaml").write_text(TEAMS)
        settings = Path(name) / "config" / "gateway.yaml"
        without_cache = settings.read_text().replace("  seconds: 3600 #", "  seconds: 0 #")
        settings.write_text(without_cache.replace("  keep: all ", "  keep: linked "))
        subprocess.run([sys.executable, "-c", MAKE_TABLES, f"sqlite:///{name}/data/ledger.db"], check=True)
        yield Path(name)


def environment(place: Path, upstream: str) -> dict[str, str]:
    """Build the environment of the gateway."""
    return {
        "IMAGE_GATEWAY_CONFIG": str(place / "config"),
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": upstream,
        "COVERAGE_PROCESS_CONFIG": "",
    }


@contextmanager
def gateway(upstream: str) -> Iterator[Target]:
    """Run the product, with a store timeout for a busy machine."""
    with folder() as place:
        settings = place / "config" / "gateway.yaml"
        settings.write_text(with_slow_stores(settings.read_text()))
        with GatewayProcess(place / "data", environment(place, upstream), options=(), fork=False) as process:
            yield Target("gateway", process.pid, process.url)


def generation(image_bytes: int, **more: object) -> Ask:
    """Build a generation whose image has `image_bytes` bytes."""
    document = {"model": "gpt-image-2", "prompt": f"a picture of {image_bytes} bytes", "quality": "low", **more}
    return json_ask("/v1/images/generations", KEY, document)


def edit(image_bytes: int) -> Ask:
    """Build an edit of 16 images of 3 MB."""
    fields = {"model": "gpt-image-2", "prompt": f"a picture of {image_bytes} bytes", "quality": "low"}
    return form_ask("/v1/images/edits", KEY, fields, [reference(index) for index in range(REFERENCES)])


def reference(index: int) -> bytes:
    """Build a PNG of 3 MB, mostly noise after the image."""
    return draw(Sketch(size=(64, 64), index=index, length=REFERENCE_BYTES))
