"""The gateway as a process: its start, refusals to start, and its end."""

import base64
import hashlib
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from tests.e2e.replicas import EVER
from tests.simulators.server import Answer, Simulator
from tests.support.environments import sdk_python
from tests.support.gateway import GatewayProcess, becomes_true, clean_environment, run_command
from tests.support.images import open_image

ROOT = Path(__file__).parents[2]
NONE: Mapping[str, str] = {}
NOTHING: Mapping[str, object] = {}
AWAY = {"REDIS_URL": "redis://127.0.0.1:9"}


def command(
    *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] = NONE
) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, environment=clean_environment(**environment), folder=cwd)


@pytest.fixture
def settings(tmp_path: Path, config: Path) -> Path:
    """A copy of the settings for a test to break."""
    return shutil.copytree(config, tmp_path / "config")


def test_the_printed_lines_work_as_pasted(tmp_path: Path, shipped: Path, http: httpx2.Client) -> None:
    with GatewayProcess(tmp_path / "data", {"IMAGE_GATEWAY_CONFIG": str(shipped)}, fork=False) as gateway:
        gateway.await_printed("Stop with Ctrl-C.")
        curl = next(line for line in gateway.lines if line.startswith("curl "))
        assert f"Authorization: Bearer {gateway.key}" in curl
        assert any(str(tmp_path / "data" / "pictures") in line for line in gateway.lines)
        subprocess.run(["bash", "-c", curl], cwd=tmp_path, check=True, timeout=60, stderr=subprocess.DEVNULL)
        first, last = (
            next(index for index, line in enumerate(gateway.lines) if start in line)
            for start in ("from openai import", 'open("fox.png", "wb")')
        )
        snippet = "".join(gateway.lines[first : last + 1])
        from_curl = (tmp_path / "fox.png").read_bytes()
        subprocess.run([sdk_python("new"), "-c", snippet], cwd=tmp_path, check=True, timeout=60)
    image = open_image({"type": "b64_json", "b64_json": base64.b64encode(from_curl)}, http)
    assert (image.format, image.size) == ("PNG", (1024, 1024))
    assert (tmp_path / "fox.png").read_bytes() == from_curl, "the same request gets what was kept"


def test_the_key_and_the_images_survive_a_restart(tmp_path: Path, shipped: Path, http: httpx2.Client) -> None:
    environment = {"IMAGE_GATEWAY_CONFIG": str(shipped)}
    body = {"prompt": "a fox", "response_format": "url"}
    with GatewayProcess(tmp_path, environment, fork=False) as first:
        key = first.key
        reply = http.post(f"{first.url}/v1/images/generations", json=body, headers=first.headers).json()
        path = reply["data"][0]["url"].removeprefix(first.url)
    assert (tmp_path / "dev-key").stat().st_mode & 0o077 == 0
    with GatewayProcess(tmp_path, environment, fork=False) as second:
        assert second.key == key
        assert http.get(second.url + path).status_code == 200


def test_a_killed_gateway_leaves_no_process(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, fork=False)
    with gateway:
        servers = psutil.Process(gateway.pid).children()
        gateway.signal(signal.SIGKILL)
        assert gateway.wait() == -signal.SIGKILL
    assert servers
    assert psutil.wait_procs(servers, timeout=10)[1] == []


def test_on_sigterm_the_gateway_finishes_its_requests(
    tmp_path: Path, settings: Path, openai_sim: Simulator, http: httpx2.Client
) -> None:
    """Readiness fails at once, new work is accepted in the grace period, and the exit code is 0."""
    (settings / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    text = (settings / "gateway.yaml").read_text().replace("grace_seconds: 5", "grace_seconds: 2")
    (settings / "gateway.yaml").write_text(text)
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(settings),
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": openai_sim.base_url,
    }
    openai_sim.answer(Answer(hold=True))
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        replies: list[httpx2.Response] = []
        caller = threading.Thread(target=lambda: replies.append(generate(gateway, "first")))
        caller.start()
        openai_sim.await_in_flight(1)
        gateway.signal()
        ready = http.get(f"{gateway.url}/health/ready")
        assert (ready.status_code, ready.json()["problems"]) == (503, {"gateway": "is shutting down"})
        assert generate(gateway, "second").status_code == 200
        openai_sim.release()
        caller.join()
        assert [reply.status_code for reply in replies] == [200]
        assert gateway.wait() == 0


HURRIED = {
    "grace_seconds: 5\n": "grace_seconds: 0\n",
    "drain_seconds: 310\n": "drain_seconds: 1\n",
    "keepalive_seconds: 15 #": "keepalive_seconds: 0.2 #",
    "lease_seconds: 60 #": "lease_seconds: 1 #",
    "sweep_seconds: 5 #": "sweep_seconds: 0.2 #",
}


def test_requests_cut_by_a_drain_fail_and_are_booked(tmp_path: Path, settings: Path, openai_sim: Simulator) -> None:
    """Three calls whose images may arrive, and one request with an incomplete body."""
    (settings / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    text = (settings / "gateway.yaml").read_text()
    for was, becomes in HURRIED.items():
        assert was in text, was
        text = text.replace(was, becomes)
    (settings / "gateway.yaml").write_text(text)
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(settings),
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": openai_sim.base_url,
    }
    openai_sim.answer(*[Answer(hold=True)] * 3)
    asked: Sequence[tuple[Mapping[str, object], Mapping[str, str]]] = (
        ({}, {}),
        ({"stream": True}, {}),
        ({}, {"x-gateway-keepalive": "true"}),
    )
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway, ThreadPoolExecutor() as callers:
        replies = [
            callers.submit(generate, gateway, f"fox {number}", body, headers)
            for number, (body, headers) in enumerate(asked)
        ]
        openai_sim.await_in_flight(3)
        host, _, port = urlsplit(gateway.url).netloc.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as half:
            start = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\ncontent-length: 9"
            half.sendall(f"{start}\r\n\r\n{{".encode())
            gateway.signal()
            unbought = b"".join(iter(lambda: half.recv(65536), b""))
        plain, stream, spaced = (reply.result() for reply in replies)
        assert gateway.wait() == 0
    openai_sim.release()

    assert (plain.status_code, plain.headers["x-should-retry"]) == (503, "false")
    assert (plain.headers["connection"], "retry-after" in plain.headers) == ("close", False)
    assert stream.headers["content-type"].startswith("text/event-stream")
    event = stream.text.rpartition("event: error\ndata: ")[2]
    for body in (plain.text, event, spaced.text):
        error = json.loads(body)["error"]
        assert (error["code"], error["type"]) == ("gateway_shutting_down", "server_error")
        assert error["may_be_billed"] is True
        assert "is booked" in error["message"]
    head, _, content = unbought.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert {b"x-should-retry: true", b"retry-after: 2", b"connection: close"} <= {*head.split(b"\r\n")}
    error = json.loads(content)["error"]
    assert (error["code"], "may_be_billed" in error) == ("gateway_shutting_down", False)

    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        headers = {"authorization": f"Bearer {SECRET}"}

        def booked() -> bool:
            usage = httpx2.get(
                f"{gateway.url}/v1/usage?{EVER}&group_by=basis", headers=headers, timeout=30, trust_env=False
            )
            return [(row["group"]["basis"], row["entries"]) for row in usage.json()["data"]] == [("unconfirmed", 3)]

        assert becomes_true(booked)


SECRET = "igw_test"
PATH = "/v1/images/generations"
DIGEST = "9f545a8039ae478ce3dc0eeb52b988f1c2cd4a6bb9e1b7f84d79c5fe1d62ce86"


def generate(
    gateway: GatewayProcess, prompt: str, more: Mapping[str, object] = NOTHING, more_headers: Mapping[str, str] = NONE
) -> httpx2.Response:
    headers = {"authorization": f"Bearer {SECRET}", **more_headers}
    return httpx2.post(
        gateway.url + PATH, json={"prompt": prompt, **more}, headers=headers, timeout=30, trust_env=False
    )


def test_two_signals_end_the_grace_period(tmp_path: Path, settings: Path) -> None:
    (settings / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    text = (settings / "gateway.yaml").read_text().replace("grace_seconds: 5", "grace_seconds: 3600")
    (settings / "gateway.yaml").write_text(text)
    environment = {"IMAGE_GATEWAY_CONFIG": str(settings), "OPENAI_API_KEY": "sk-x"}
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        gateway.signal()
        gateway.signal(signal.SIGINT)
        assert gateway.wait() == 0


def test_the_gateway_is_not_ready_without_redis(tmp_path: Path, redis_url: str, http: httpx2.Client) -> None:
    with GatewayProcess(
        tmp_path, {"REDIS_URL": redis_url, "DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db"}
    ) as gateway:
        assert http.get(f"{gateway.url}/health/ready").status_code == 200
        assert not psutil.Process(gateway.pid).children(), "no embedded server beside a given one"
    with GatewayProcess(tmp_path, AWAY | {"DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db"}) as gateway:
        reply = http.get(f"{gateway.url}/health/ready")
        assert (reply.status_code, reply.json()["status"]) == (503, "unavailable")
        problem = reply.json()["problems"]["redis"]
        assert "does not answer" in problem
        for store in ("REDIS_URL", "CACHE_REDIS_URL"):
            assert gateway.await_logged("store unusable", store=store)["problem"] == problem
        assert http.get(f"{gateway.url}/health/live").status_code == 200


def test_without_an_image_store_urls_are_refused_before_a_generation(
    tmp_path: Path, redis_url: str, settings: Path, openai_sim: Simulator
) -> None:
    (settings / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(settings),
        "REDIS_URL": redis_url,
        "DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db",
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": openai_sim.base_url,
    }
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        headers = {"authorization": f"Bearer {SECRET}"}
        body = {"prompt": "a fox", "response_format": "url"}
        reply = httpx2.post(f"{gateway.url}/v1/images/generations", json=body, headers=headers, trust_env=False)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "response_format")
        assert httpx2.get(f"{gateway.url}/v1/images/img_x.png", trust_env=False).status_code == 404
    assert openai_sim.requests == []


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("models.yaml", "default_model: x", r"config/models.yaml: \$: Object missing required field `sizes`"),
        ("models.yaml", "a: 1\na: 2", r"config/models.yaml: line 2, column 1: found duplicate key"),
        ("gateway.yaml", "colour: red", r"config/gateway.yaml: line 1: \$: Object contains unknown field `colour`"),
        ("gateway.yaml", "sandbox: {fail: laziness}", r"gateway.yaml: \$.sandbox.fail: .*laziness"),
        (
            "gateway.yaml",
            "reference_images: {allow_networks: [10.0.0.0/99]}",
            r"gateway.yaml: \$.reference_images: .*10.0.0.0/99",
        ),
        (
            "teams.yaml",
            "teams: {a: {tiers: [ultra]}}",
            r"config/teams.yaml: line 1: \$.teams.a.tiers: 'ultra' is not in",
        ),
    ],
)
def test_invalid_settings_stop_the_start(settings: Path, file: str, text: str, reason: str) -> None:
    (settings / file).write_text(text)
    done = command(
        "serve",
        "--dev",
        "--port",
        "0",
        "--data-dir",
        str(settings),
        environment={"IMAGE_GATEWAY_CONFIG": str(settings)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(reason, done.stderr), done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("image-gateway: ") for line in lines)
    assert len(lines) == (4 if text == "default_model: x" else 1)  # four tables are missing


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        ((), {}, "config/teams.yaml: $.teams: no team"),
        (("--dev",), AWAY, "DATABASE_URL: needed with REDIS_URL"),
        (("--dev",), {"DATABASE_URL": "mysql://root@localhost/x"}, "DATABASE_URL: has to begin with"),
        (("--dev", "--host", "0.0.0.0"), {}, "--dev listens on loopback only"),  # noqa: S104 (refused)
        (("--dev",), {"URL_SIGNING_KEY": "short"}, "URL_SIGNING_KEY: must be at least 32 characters"),
        (("--dev",), {"STORAGE_URL": "gs://bucket"}, "STORAGE_URL: 'gs' is not offered"),
        (("--dev",), {"OPENAI_BASE_URL": "ftp://x"}, "'ftp://x' is not an http or https address"),
        (
            ("--dev",),
            AWAY | {"STORAGE_URL": "/tmp/x", "DATABASE_URL": "sqlite:////tmp/x/ledger.db"},  # noqa: S108 (not made)
            "URL_SIGNING_KEY: needed with STORAGE_URL",
        ),
    ],
)
def test_invalid_options_or_variables_stop_the_start(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], reason: str
) -> None:
    done = command("serve", "--port", "0", "--data-dir", str(tmp_path), *arguments, environment=environment)
    assert done.returncode == 2
    assert reason in done.stderr


def test_without_a_backend_the_gateway_does_not_start(tmp_path: Path, settings: Path) -> None:
    (settings / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    done = command(
        "serve", "--port", "0", "--data-dir", str(tmp_path), environment={"IMAGE_GATEWAY_CONFIG": str(settings)}
    )
    assert (done.returncode, "No backend is on" in done.stderr) == (2, True)


def test_a_taken_port_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command("serve", "--dev", "--port", port, "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert not list(tmp_path.glob("valkey")), "nothing was started"


def test_a_new_key_is_printed_once_with_its_digest() -> None:
    first, second = command("keys", "new").stdout, command("keys", "new").stdout
    key = re.search(r"^key: +(igw_\S{43})$", first, re.MULTILINE)
    digest = re.search(r"^sha256: ([0-9a-f]{64})$", first, re.MULTILINE)
    assert first != second
    assert key
    assert digest
    assert hashlib.sha256(key[1].encode()).hexdigest() == digest[1]


def test_version_faults_check_and_help_print_their_results(settings: Path) -> None:
    assert command("version").stdout == "0.1.0\n"
    assert {"moderation_blocked", "slow_down", "server_error"} <= set(command("faults").stdout.split())
    (settings / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    checked = command("check", environment={"IMAGE_GATEWAY_CONFIG": str(settings), "OPENAI_API_KEY": "sk-x"}).stdout
    assert re.search(r"\d+ models, 1 teams, 1 keys; backends on: openai", checked)
    assert "serve" in command("--help").stdout


def test_outside_the_repository_missing_settings_are_reported(tmp_path: Path) -> None:
    """Outside the repository the settings come with the package. A refusal names missing ones."""
    done = command("check", cwd=tmp_path)
    assert done.returncode == 2
    assert "config/gateway.yaml: cannot be read" in done.stderr


def test_the_published_description_equals_the_applications() -> None:
    published = (ROOT / "openapi" / "openapi.yaml").read_text()
    assert command("openapi").stdout == published, "run `make openapi`"


def test_a_start_without_its_database_is_refused_in_one_line_after_a_timeout(settings: Path, redis_url: str) -> None:
    text = (settings / "gateway.yaml").read_text().replace("wait_seconds: 30 #", "wait_seconds: 1 #")
    (settings / "gateway.yaml").write_text(text)
    (settings / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(settings),
        "REDIS_URL": redis_url,
        "DATABASE_URL": "postgresql://owner:geheim@127.0.0.1:1/ledger?connect_timeout=5",
        "OPENAI_API_KEY": "sk-x",
    }
    done = command("serve", "--port", "0", "--data-dir", str(settings), environment=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("image-gateway: The PostgreSQL at 127.0.0.1 does not answer (")
    assert len(done.stderr.splitlines()) == 1
    (waiting,) = map(json.loads, done.stdout.splitlines())
    assert (waiting["event"], waiting["level"], waiting["max_wait_seconds"]) == (
        "waiting for the database",
        "warning",
        1.0,
    )
    assert "geheim" not in done.stdout + done.stderr
