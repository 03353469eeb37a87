"""`make observe`, from its start to Ctrl-C."""

import os
import signal
import subprocess
import sys

from tests.support.gateway import clean_environment

TIMEOUT_SECONDS = 60


def test_the_command_prints_its_addresses_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tools.observe", "--seconds", "300"]
    with subprocess.Popen(
        command, env=clean_environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all processes in the foreground
        rest, _ = child.communicate(timeout=TIMEOUT_SECONDS)
    output = "".join(lines)
    assert "Prometheus   http://127.0.0.1:" in output
    assert output.count("Gateway      http://127.0.0.1:") == 2
    assert "config/grafana/" in output
    assert "Answers by status" in rest
    assert child.returncode == 0
