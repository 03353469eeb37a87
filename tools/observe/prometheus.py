"""Debian's Prometheus and promtool, as child processes.

Rule: they come from the package `prometheus`. Without it, a caller gets an error that names the package. The server
listens on loopback, keeps its series in a folder of its own, and ends with its block.
"""

import json
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.support.gateway_site import await_true, free_port

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "rules.yaml"
TIMEOUT_SECONDS = 30
ADVICE = "It comes with Debian's package `prometheus`: apt-get install -y --no-install-recommends prometheus"


class MissingTool(Exception):
    """A program that has to be installed is missing."""


def tool(name: str) -> str:
    """Return the path of `prometheus` or `promtool`."""
    path = shutil.which(name)
    if path is None:
        raise MissingTool(f"There is no {name} on this machine. {ADVICE}")
    return path


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run([tool("promtool"), *arguments], capture_output=True, text=True, check=False)


def settings(targets: Sequence[str], seconds: float) -> str:
    """Return the configuration of Prometheus. YAML readers read JSON."""
    every = f"{round(seconds * 1000)}ms"
    return json.dumps(
        {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "image-gateway", "static_configs": [{"targets": list(targets)}]}],
        }
    )


class Refused(Exception):
    """Prometheus does not understand a query."""


class Prometheus:
    """A server between `__enter__` and `__exit__`.

    It scrapes `/metrics` of each target (`host:port`) every `seconds`.
    """

    def __init__(self, folder: Path, targets: Sequence[str], seconds: float = 1.0, port: int = 0) -> None:
        folder.mkdir(parents=True)
        (folder / "prometheus.yml").write_text(settings(targets, seconds))
        address = f"127.0.0.1:{port or free_port()}"
        self.url = f"http://{address}"
        self._command = [
            tool("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
        self._client = httpx2.Client(base_url=self.url, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._child: subprocess.Popen[bytes]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return each series with its labels (`metric`) and its `value` as of now."""
        data = self._ask("query", {"query": expr})
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        return list(data["result"])

    def query_range(self, expr: str, since: float, until: float, step: float) -> list[dict[str, Any]]:
        """Return each series with its labels (`metric`) and its `values` between two times in Unix seconds."""
        asked = {"query": expr, "start": str(since), "end": str(until), "step": str(step)}
        return list(self._ask("query_range", asked)["result"])

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule, with its state."""
        return [rule for group in self._ask("rules", {})["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """Return every target, with the state of its last scrape."""
        return list(self._ask("targets", {})["activeTargets"])

    def _ask(self, what: str, asked: Mapping[str, str]) -> dict[str, Any]:
        reply = self._client.post(f"/api/v1/{what}", data=dict(asked)) if asked else self._client.get(f"/api/v1/{what}")
        answer = reply.json()
        if answer["status"] != "success":
            raise Refused(f"{answer['error']}: {asked}")
        return dict(answer["data"])

    def _ready(self) -> bool:
        if self._child.poll() is not None:
            raise MissingTool(f"Prometheus ended with {self._child.returncode}")
        try:
            return self._client.get("/-/ready").is_success
        except httpx2.TransportError:
            return False

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        await_true(self._ready, TIMEOUT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(TIMEOUT_SECONDS)
