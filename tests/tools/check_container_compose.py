"""compose.yaml in operation: an evaluator's view, and calls during the stop or the kill of a replica."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.support.gateway import clean_environment
from tests.support.gateway_site import await_true, free_port
from tools.container.engine import IMAGE, MissingEngine, Refused, docker, need_engine
from tools.container.named import COMPOSE, KEY, OVERLAY, ROOT, image_of, services
from tools.container.standins import OBJECTS

ADMIN_KEY = "Zx81kdkw92kdk20dkwlqpwoeiruty5647"
HEADERS = {"authorization": f"Bearer {KEY}"}
TIMEOUT_SECONDS = 120
PORTS = ("PORT", "ADMIN_PORT", "PROMETHEUS_PORT", "STORAGE_PORT")
SAMPLE, RULES = "count(gateway_build_info)", 48


class Site:
    """All services of compose.yaml that can run here, with their own name and ports."""

    def __init__(self, laid: Sequence[str]) -> None:
        self._program = os.environ.get("COMPOSE", "docker-compose")
        self._laid = laid
        self.ports = {name: str(free_port()) for name in PORTS}
        self._environment = clean_environment(
            COMPOSE_PROJECT_NAME=f"igw-test-{os.getpid()}",
            IMAGE_TAG=IMAGE.partition(":")[2],
            ADMIN_API_KEY=ADMIN_KEY,
            **self.ports,
        )

    def __call__(self, *arguments: str) -> str:
        """Return the output of `docker compose`."""
        command = [self._program, *self._laid, *arguments]
        try:
            done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise MissingEngine("There is no Docker compose: `make image-test` brings it") from None
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return done.stdout.strip()

    def url(self, port: str = "PORT") -> str:
        """Return the address of a service on this machine."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def draw(self, http: httpx2.Client, prompt: str, **more: str) -> httpx2.Response:
        """Request an image through the load balancer."""
        body = {"model": "gpt-image-2", "prompt": prompt, "size": "1024x1024", "quality": "low", **more}
        return http.post(f"{self.url()}/v1/images/generations", json=body, headers=HEADERS)

    def draw_all(self, http: httpx2.Client, prompts: Sequence[str]) -> list[int]:
        """Request all images at once. Returns the statuses."""
        with ThreadPoolExecutor(len(prompts)) as pool:
            return [reply.status_code for reply in pool.map(lambda prompt: self.draw(http, prompt), prompts)]

    def replicas(self) -> list[str]:
        """Return the running containers of gateways."""
        return self("ps", "--quiet", "gateway").split()

    def asked(self, replica: str) -> int:
        """Return the number of images that a replica was asked for, by its log."""
        logs = subprocess.run(["docker", "logs", replica], capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in (logs.stdout + logs.stderr).splitlines() if line.startswith("{")]
        return sum(line.get("path") == "/v1/images/generations" for line in lines)

    def booked(self) -> int:
        """Return the number of calls in the ledger."""
        return int(self("exec", "-T", "postgres", "psql", "-U", "gateway", "-XAtc", "SELECT count(*) FROM entries"))

    def measured(self, http: httpx2.Client, expr: str) -> list[Any]:
        """Return the result of a Prometheus query."""
        result: list[Any] = http.get(f"{self.url('PROMETHEUS_PORT')}/api/v1/query?query={quote(expr)}").json()["data"][
            "result"
        ]
        return result


@pytest.fixture(scope="module")
def site(image: str) -> Iterator[Site]:
    assert image == IMAGE
    images = {image_of(name) for name in services() if name not in {"gateway", "minio", "bucket", "grafana"}}
    need_engine(*images, OBJECTS)
    running = Site(["--file", str(COMPOSE), "--file", str(OVERLAY)])
    try:
        running("up", "--detach", "--no-build", "--pull", "never", "--wait", "--scale", "bucket=1")
        yield running
    finally:
        running("down", "--volumes", "--timeout", "1")


def test_compose_accepts_the_shipped_file() -> None:
    config = json.loads(Site(["--file", str(COMPOSE)])("config", "--format", "json"))
    assert set(config["services"]) == set(services())
    assert config["services"]["gateway"]["environment"]["OPENAI_API_KEY"] is None


def test_haproxy_accepts_its_settings(site: Site) -> None:
    output = site("exec", "-T", "balancer", "haproxy", "-c", "-f", "/usr/local/etc/haproxy/haproxy.cfg")
    assert "warning" not in output.lower()


def test_replicas_share_the_work_and_the_ledger(site: Site, http: httpx2.Client) -> None:
    before = site.booked()
    assert site.draw_all(http, [f"fox {number}" for number in range(6)]) == [200] * 6
    assert all(site.asked(replica) for replica in site.replicas())
    await_true(lambda: site.booked() == before + 6)


def test_a_stored_image_is_served_by_any_replica(site: Site, http: httpx2.Client) -> None:
    address = site.draw(http, "kept", response_format="url").json()["data"][0]["url"]
    assert address.startswith(site.url())
    for _ in site.replicas():
        image = http.get(address)
        assert (image.status_code, image.headers["content-type"]) == (200, "image/png")


def test_a_stream_arrives_event_by_event(site: Site, http: httpx2.Client) -> None:
    body = {"model": "gpt-image-2", "prompt": "stream", "quality": "low", "stream": True, "partial_images": 1}
    path = f"{site.url()}/v1/images/generations"
    with http.stream("POST", path, json=body, headers=HEADERS) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("event: ")]
    assert events == ["event: image_generation.partial_image", "event: image_generation.completed"]


def test_the_admin_api_has_a_separate_port(site: Site, http: httpx2.Client) -> None:
    opened = {"authorization": f"Bearer {ADMIN_KEY}"}
    teams = http.get(f"{site.url('ADMIN_PORT')}/admin/v1/teams", headers=opened)
    assert [team["name"] for team in teams.json()["data"]] == ["demo"]
    for path in ("/admin/v1/teams", "/metrics"):
        assert http.get(site.url() + path, headers=opened).status_code == 404


def test_prometheus_sees_every_replica_and_has_the_rules(site: Site, http: httpx2.Client) -> None:
    await_true(lambda: [sample["value"][1] for sample in site.measured(http, SAMPLE)] == ["2"], TIMEOUT_SECONDS)
    groups = http.get(f"{site.url('PROMETHEUS_PORT')}/api/v1/rules").json()["data"]["groups"]
    assert sum(len(group["rules"]) for group in groups) == RULES


def test_no_call_fails_when_a_replica_is_stopped(site: Site, http: httpx2.Client) -> None:
    leaving = site.replicas()[0]
    going = threading.Thread(target=docker, args=("stop", "--time", "60", leaving))
    going.start()
    statuses: list[int] = []
    while going.is_alive():
        statuses += site.draw_all(http, [f"leaving {len(statuses) + number}" for number in range(4)])
    going.join()
    assert set(statuses) == {200}
    assert len(statuses) >= 8
    docker("start", leaving)
    site("up", "--detach", "--no-build", "--wait", "gateway")


def test_calls_of_a_killed_replica_are_not_repeated(site: Site, http: httpx2.Client) -> None:
    killed, other = site.replicas()
    asked = site.asked(other)
    got: list[int] = []
    prompts = [f"killed {number} [sandbox delay=10]" for number in range(4)]
    drawing = threading.Thread(target=lambda: got.extend(site.draw_all(http, prompts)))
    drawing.start()
    await_true(lambda: all(_drawn_at_once(replica) == 2 for replica in (killed, other)), TIMEOUT_SECONDS)
    docker("kill", killed)
    drawing.join()
    assert sorted(got) == [200, 200, 502, 502]
    assert site.asked(other) == asked + 2


def _drawn_at_once(replica: str) -> int:
    """Return the number of images that a replica is generating."""
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9464/metrics').read().decode())"
    output = docker("exec", replica, "python", "-c", ask)
    line = next(
        (line for line in output.splitlines() if line.startswith('gateway_images_in_flight{backend="sandbox"}')), "0"
    )
    return int(float(line.split()[-1]))
