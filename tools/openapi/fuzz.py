"""`python -m tools.openapi.fuzz`: schemathesis against a running gateway. `make schemathesis` runs it.

Rule: the gateway is a process with a real Valkey and its sandbox without delays, so that no request costs anything. The
number of cases and the seed are printed, so that a run can be repeated. A finding of schemathesis, and a crash in the
gateway's log, end it with 1.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.domain.team_access import key_digest
from tests.support.gateway import GatewayProcess, with_lenient_health

ROOT = Path(__file__).parents[2]
SETTINGS = Path(__file__).with_name("schemathesis.toml")
DOCUMENT = ROOT / "openapi" / "openapi.yaml"
PROGRAM = Path(os.environ.get("SCHEMATHESIS", ROOT / ".venv-schema" / "bin" / "schemathesis"))
CASES = re.compile(r"(\d[\d,]*) generated")
CRASHED = "crashed"


@contextmanager
def target(folder: Path) -> Iterator[tuple[GatewayProcess, dict[str, str]]]:
    """Run a gateway; yields it, and the address and keys as environment variables."""
    config = folder / "config"
    shutil.copytree(ROOT / "config", config, ignore=shutil.ignore_patterns("grafana", "prometheus"))
    settings = config / "gateway.yaml"
    settings.write_text(with_lenient_health(settings.read_text()).replace("grace_seconds: 5", "grace_seconds: 0"))
    models = config / "models.yaml"
    models.write_text(models.read_text().replace("shutdown_date: 2026-12-01", "shutdown_date: 2999-12-01"))
    admin, key = secrets.token_hex(32), f"igw_{secrets.token_urlsafe(32)}"
    limits = "{usd_per_day: 1000000, concurrent_images: 1000}"
    (config / "teams.yaml").write_text(
        f"teams:\n  search: {{limits: {limits}, keys: [{{id: search-1, sha256: {key_digest(key)}}}]}}\n"
    )
    environment = {"IMAGE_GATEWAY_CONFIG": str(config), "ADMIN_API_KEY": admin}
    with GatewayProcess(folder / "data", environment) as gateway:
        yield gateway, {"GATEWAY_URL": gateway.url, "GATEWAY_KEY": key, "GATEWAY_ADMIN_KEY": admin}


def command(document: Path, examples: int, seed: int, more: list[str]) -> list[str]:
    """Return the command line of schemathesis."""
    bounds = ["--max-examples", str(examples), "--seed", str(seed)]
    return [str(PROGRAM), "--config-file", str(SETTINGS), "run", str(document), *bounds, *more]


def crashes(gateway: GatewayProcess) -> list[dict[str, object]]:
    """Return the errors in the gateway's log that are its own."""
    return [line for line in gateway.logged() if line["event"] == CRASHED or line.get("level") == "error"]


def main() -> int:
    """Run schemathesis and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="cases for each operation and phase, at most")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    asked, more = parser.parse_known_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, target(Path(folder)) as (gateway, where):
        environment = os.environ | where | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command(asked.document, asked.examples, asked.seed, more), env=environment, cwd=folder, check=False
        )
        served = [line for line in gateway.logged() if line["event"] == "request"]
        crashed = crashes(gateway)
    statuses = sorted({int(line["status"]) for line in served})
    print(json.dumps({"requests": len(served), "statuses": statuses, "seconds": round(time.monotonic() - began)}))
    for line in crashed:
        print(json.dumps(line))
    return 1 if done.returncode or crashed else 0


if __name__ == "__main__":
    raise SystemExit(main())
