"""Packages that a gateway imports at every start, and those that it imports in use.

Rule: processes of the image's environment run. At its end each writes the files of its modules. A file belongs to the
package whose record names it. A package without such a file was not imported by any of these processes.
"""

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import httpx2
from packaging.utils import canonicalize_name

from service.adapters.sql.migrate import migrate
from tests.simulators.images import Sketch, draw
from tests.support.gateway import TIMEOUT_SECONDS, clean_environment
from tests.support.postgres import wheel_postgres
from tools.bench.targets import environment, folder
from tools.supply.environments import IMAGE, packages_folder, program
from tools.supply.locks import ROOT

TELLS = """import atexit, json, os, sys
@atexit.register
def tell():
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    with open(os.path.join(os.environ["TELLS_INTO"], str(os.getpid())), "w") as out:
        json.dump([file for file in files if file], out)
"""
NO_SERVER = "http://127.0.0.1:9"  # of a vendor, or a collector, that need not answer
COMMANDS = ("metrics", "usage", "usage export --format csv")
FIELDS = {"model": "gpt-image-2", "prompt": "a fox", "size": "1024x1024", "quality": "low"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Names of imported packages."""

    at_start: AbstractSet[str]
    in_use: AbstractSet[str]

    def when(self, package: str) -> str:
        """Return in words when a package is imported."""
        return "at every start" if package in self.at_start else "when used" if package in self.in_use else "never"


class Watched:
    """Processes of the product with the image's Python. They record the files of all their modules."""

    def __init__(self, place: Path) -> None:
        (place / "tells").mkdir()
        (place / "hook").mkdir()
        (place / "hook" / "sitecustomize.py").write_text(TELLS)
        self._tells = place / "tells"
        self._more = {"PYTHONPATH": str(place / "hook"), "TELLS_INTO": str(self._tells)}

    def run(self, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
        """Run a command to its end."""
        subprocess.run(
            self._command(arguments), env=self._environment(variables), cwd=ROOT, check=True, capture_output=True
        )

    @contextmanager
    def served(self, arguments: Sequence[str], variables: Mapping[str, str]) -> Iterator[str]:
        """Run a gateway; yields its address."""
        command = self._command(["serve", "--port", "0", *arguments])
        with subprocess.Popen(
            command, env=self._environment(variables), cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            line = next(line for line in child.stdout if '"listening"' in line)
            try:
                yield json.loads(line)["address"]
            finally:
                child.terminate()
                child.communicate(timeout=TIMEOUT_SECONDS)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(program(IMAGE, "python")), "-m", "service", *arguments]

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return clean_environment(**variables) | self._more

    def packages(self) -> AbstractSet[str]:
        """Return the packages of the image that the files belong to."""
        files = {file for path in self._tells.iterdir() for file in json.loads(path.read_text())}
        installed = distributions(path=[str(packages_folder(IMAGE))])
        return {
            str(canonicalize_name(one.name))
            for one in installed
            if any(str(file.locate()) in files for file in one.files or ())
        }


def measured() -> Imports:
    """Start a gateway, then use it. Takes half a minute."""
    with tempfile.TemporaryDirectory(prefix="imports-") as name, folder() as prepared:
        watched = Watched(Path(name))
        with watched.served(["--data-dir", str(prepared / "data")], environment(prepared, NO_SERVER)):
            pass
        at_start = watched.packages()
        _use(watched, Path(name))
        return Imports(at_start=at_start, in_use=watched.packages())


def _use(watched: Watched, place: Path) -> None:
    """Run a first start, every listener, every command, traces and PostgreSQL."""
    data = ["--data-dir", str(place / "dev")]
    with watched.served(["--dev", *data], {"OTEL_EXPORTER_OTLP_ENDPOINT": NO_SERVER}) as url:
        _call(url, (place / "dev" / "dev-key").read_text().strip())
        for command in COMMANDS:
            words = command.split()
            watched.run([*words, *data] if words[0] in {"usage", "keys"} else words, {})
    with wheel_postgres(place) as postgres:
        asyncio.run(migrate(postgres.url))
        with watched.served(["--dev", *data], {"DATABASE_URL": postgres.url}):
            pass


def _call(url: str, key: str) -> None:
    with httpx2.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=TIMEOUT_SECONDS) as client:
        drawing = client.post(
            "/v1/images/generations", json=FIELDS | {"output_format": "webp", "response_format": "url"}
        )
        stream = client.post("/v1/images/generations", json=FIELDS | {"stream": True, "partial_images": 1})
        files = {"image": ("a.png", draw(Sketch(size=(64, 64), index=0, length=1000)), "image/png")}
        edit = client.post("/v1/images/edits", data=FIELDS, files=files)
        pages = [client.get(path) for path in ("/docs", "/openapi.yaml", "/metrics", "/v1/models")]
        for answer in (drawing, stream, edit, *pages):
            answer.raise_for_status()
