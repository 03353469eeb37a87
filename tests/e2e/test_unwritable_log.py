"""A log that cannot be written: the gateway starts, serves, counts the lost lines, and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.forks import ForkedProcess, can_fork, forks
from tests.support.gateway import TIMEOUT_SECONDS, becomes_true, clean_environment
from tests.support.gateway_site import free_port


@contextmanager
def full_disk() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def unread_pipe() -> Iterator[int]:
    """A pipe that holds 64 KB, without a reader."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(writer, "wb", buffering=0, closefd=False) as filled:
        while filled.write(bytes(4096)):
            pass
    os.set_blocking(writer, True)
    yield writer
    os.close(writer)
    os.close(reader)


@contextmanager
def closed_pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def serving(output: int, port: int, data: Path) -> subprocess.Popen[bytes] | ForkedProcess:
    """Start a gateway that logs to this descriptor."""
    arguments, environment = ["serve", "--dev", "--port", str(port), "--data-dir", str(data)], clean_environment()
    if can_fork(environment):
        return forks().start_into(output, arguments, environment)
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.DEVNULL)


def is_up(http: httpx2.Client, url: str) -> bool:
    try:
        return http.get(f"{url}/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.parametrize("place", [full_disk, unread_pipe, closed_pipe])
def test_a_log_that_cannot_be_written_fails_no_request(
    place: Callable[[], AbstractContextManager[int]], tmp_path: Path, http: httpx2.Client
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    key = "igw_" + "k" * 40
    (tmp_path / "dev-key").write_text(key)
    (tmp_path / "dev-key").chmod(0o600)
    with place() as output:
        process = serving(output, port, tmp_path)
        try:
            assert becomes_true(lambda: is_up(http, url))
            for _ in range(3):
                body = {"prompt": "a fox", "size": "1024x1024", "quality": "low"}
                reply = http.post(f"{url}/v1/images/generations", json=body, headers={"authorization": f"Bearer {key}"})
                assert reply.status_code == 200
            metrics = http.get(f"{url}/metrics").text.splitlines()
            lost = next(line for line in metrics if line.startswith("gateway_log_lines_lost_total"))
            assert float(lost.split()[-1]) >= 4
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(TIMEOUT_SECONDS)
    assert code == 0
