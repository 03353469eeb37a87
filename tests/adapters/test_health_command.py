"""`image-gateway health`, against servers that answer, refuse, and keep silent."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import create_server

import pytest

from service.commands.health import PATH, health, health_problem
from tests.support.gateway_site import free_port

HOST = "127.0.0.1"
POLL_SECONDS = 0.01  # how soon a server ends that is told to


class Answer(BaseHTTPRequestHandler):
    """200 where health is, 404 elsewhere."""

    path_of_health = PATH

    def do_GET(self) -> None:
        self.send_response(200 if self.path == self.path_of_health else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Elsewhere(Answer):
    """A server of something else."""

    path_of_health = "/"


def served(handler: type[Answer]) -> Iterator[int]:
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def well() -> Iterator[int]:
    yield from served(Answer)


@pytest.fixture
def other() -> Iterator[int]:
    yield from served(Elsewhere)


@pytest.mark.parametrize("host", ["", "0.0.0.0", HOST, "localhost"])  # noqa: S104 (what a container listens on)
def test_it_is_quiet_about_a_gateway_that_answers(host: str, well: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", host)
    monkeypatch.setenv("PORT", str(well))
    health()


def test_options_come_before_the_environment(well: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "nowhere.invalid")
    monkeypatch.setenv("PORT", "1")
    health(HOST, well)


def test_who_answers_otherwise_is_not_well(other: int) -> None:
    assert health_problem(HOST, other) == f"127.0.0.1 port {other} answers 404"


def test_who_does_not_answer_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        health(HOST, port := free_port())
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith(f"image-gateway: 127.0.0.1 port {port} does not answer: ")


def test_who_accepts_and_keeps_silent_is_not_well() -> None:
    with create_server((HOST, 0)) as silent:
        problem = health_problem(HOST, silent.getsockname()[1], seconds=0.05)
    assert problem
    assert problem.endswith("does not answer: timed out")


def test_it_imports_the_standard_library_only() -> None:
    imports = "import sys; import service.commands.health; print(*sys.modules)"
    command = [sys.executable, "-c", imports]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in names if name.split(".")[0] == "service"}
    assert ours == {"service", "service.commands", "service.commands.health"}
    assert not {"typer", "rich", "litestar", "asyncio", "urllib.request"} & set(names)
