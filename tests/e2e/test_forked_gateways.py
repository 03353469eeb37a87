"""A forked gateway equals an executed one, and has no state of an earlier one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.forks import ForkedProcess, Forks, ServerEnded, can_fork
from tests.support.gateway import TIMEOUT_SECONDS, GatewayProcess, clean_environment

MODULE = "tests.support.process_state"
GIVEN = {"GIVEN": "to this one", "TZ": "Pacific/Kiritimati"}
INVENTED = {"address", "metrics", "admin", "timestamp"}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """A fork server of these tests."""
    server = Forks()
    yield server
    server.close()


def read(child: ForkedProcess) -> list[str]:
    """Return the output of a child until its end, by lines."""
    assert child.stdout is not None
    return child.stdout.read().splitlines()


def child_surroundings(forks: Forks, *arguments: str, **more: str) -> tuple[dict[str, Any], str]:
    """Return the printed state of a child, and its random number."""
    with forks.start(arguments, clean_environment(**more), MODULE) as child:
        first, second = read(child)
    return json.loads(first), second


@contextmanager
def waiting(forks: Forks) -> Iterator[ForkedProcess]:
    """A child that has started and waits for a signal."""
    with forks.start(["wait"], clean_environment(), MODULE) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)]
        yield child


def test_a_fork_has_the_state_of_an_executed_command(forks: Forks) -> None:
    executed = subprocess.run(
        [sys.executable, "-m", MODULE, "one", "two"],
        env=clean_environment(**GIVEN),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    with waiting(forks):  # its descriptors are not for another child
        forked, _ = child_surroundings(forks, "one", "two", **GIVEN)

    expected = json.loads(executed.stdout.splitlines()[0])
    assert (expected["arguments"], expected["environment"]["GIVEN"]) == (["one", "two"], "to this one")
    assert forked == expected


def test_forks_share_nothing(forks: Forks) -> None:
    (first, one), (second, two) = child_surroundings(forks, **GIVEN), child_surroundings(forks)
    assert (first["environment"]["GIVEN"], "GIVEN" in second["environment"]) == ("to this one", False)
    assert (first["C has"], second["C has"]) == (True, False)
    assert first["zone"] != second["zone"]
    assert one != two


def test_a_fork_ends_as_a_command_does(forks: Forks) -> None:
    with forks.start(["fail"], clean_environment(), MODULE) as failed:
        assert "ValueError: as ordered" in read(failed)  # beside its output, which may wait until the end
        assert failed.wait(TIMEOUT_SECONDS) == 1
    with waiting(forks) as killed, waiting(forks) as stays:
        killed.kill()
        assert killed.wait(TIMEOUT_SECONDS) == -signal.SIGKILL
        assert read(killed) == []  # its output has ended: the other child has no copy of it
        assert stays.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            stays.wait(0.01)
        stays.send_signal(signal.SIGTERM)
        assert stays.wait(TIMEOUT_SECONDS) == -signal.SIGTERM


def test_a_command_has_separate_outputs(forks: Forks) -> None:
    version = forks.run(["version"], clean_environment(), TIMEOUT_SECONDS)
    wrong = forks.run(["serve", "--port", "none"], clean_environment(), TIMEOUT_SECONDS)
    assert (version.returncode, version.stdout[:1].isdigit(), version.stderr) == (0, True, "")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "none" in wrong.stderr


def test_a_server_ends_its_children_after_its_client() -> None:
    forks = Forks()
    with forks.start([], clean_environment(), MODULE) as ended, waiting(forks) as child:
        ended.wait(TIMEOUT_SECONDS)
        process = psutil.Process(child.pid)
        forks.close()
        assert forks.server.returncode == 0
        assert not process.is_running()
        assert child.wait(TIMEOUT_SECONDS) == -signal.SIGTERM


def test_an_ended_server_fails_the_test_that_needs_it() -> None:
    forks = Forks()
    forks.server.kill()
    forks.server.wait()
    with pytest.raises(ServerEnded):
        forks.start([], clean_environment(), MODULE)
    forks.close()


def test_settings_read_before_the_first_import_prevent_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_GATEWAYS", raising=False)
    assert can_fork(clean_environment(OPENAI_API_KEY="sk-x", PORT="1"))
    assert not can_fork(clean_environment(PYTHONHASHSEED="1"))
    assert not can_fork(clean_environment(LC_ALL="tr_TR.UTF-8"))
    monkeypatch.setenv("TEST_GATEWAYS", "executed")
    assert not can_fork(clean_environment())


def test_a_forked_gateway_logs_as_an_executed_one(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_GATEWAYS", raising=False)
    lines = []
    for fork in (True, False):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        with GatewayProcess(tmp_path / "data", {"IMAGE_GATEWAY_CONFIG": str(config)}, fork=fork) as gateway:
            gateway.await_printed("Stop with Ctrl-C.")
            assert (psutil.Process(gateway.pid).ppid() == os.getpid()) is not fork
        assert gateway.wait() == 0
        lines.append([{name: text for name, text in line.items() if name not in INVENTED} for line in gateway.logged()])
    forked, executed = lines
    assert forked == executed
