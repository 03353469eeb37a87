"""Calls through the vendors' SDKs for Python, and through any SDK: the tests' end of `sdk_runner.py`.

Rule: one process serves many calls, one after another, because its start takes longer than a call. Its environment has
no address or key. Every call brings its own. An error of a call is part of the outcome.

Fails with: `AssertionError`, if the runner breaks or takes too long.
"""

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.support import sdk_js
from tests.support.environments import sdk_python
from tests.support.gateway import clean_environment
from tests.support.sdk_js import SECONDS, Line, LineListener, SdkOutcome, ignore_line, parse_lines

RUNNER = Path(__file__).parent / "sdk_runner.py"
PYTHONS = ("new", "old")
JAVASCRIPT = "js"

ImageFiles = Mapping[str, Path | list[Path]]
"""Images of an edit, by parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimeouts:
    """Timeouts of a client in seconds, and its number of retries. None is the SDK's default.

    The test gives up after `longest` seconds.
    """

    seconds: float | None = None
    retries: int | None = 0
    longest: float = SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of `images`, with the address and key of a gateway and the headers of this call alone."""

    url: str
    key: str
    operation: str
    params: Mapping[str, Any]
    files: ImageFiles = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeouts: ClientTimeouts = field(default_factory=ClientTimeouts)
    sdk: str = "openai"


class Sdk(Protocol):
    """An SDK. The listener gets each line as soon as the SDK has handed over its content."""

    def __call__(self, call: Call, listener: LineListener = ignore_line) -> SdkOutcome:
        """Make a call."""
        ...


@contextmanager
def sdk(name: str) -> Iterator[Sdk]:
    """Open the SDK for JavaScript, or the SDKs of a generation for Python."""
    if name == JAVASCRIPT:
        yield javascript
        return
    runner = subprocess.Popen(
        [sdk_python(name), str(RUNNER)],
        env=clean_environment(TOGETHER_NO_BANNER="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with runner:
        assert runner.stdout
        assert json.loads(runner.stdout.readline()) == {"what": "ready"}
        yield _Python(runner)
        assert runner.stdin
        runner.stdin.close()


class _Python:
    def __init__(self, runner: subprocess.Popen[str]) -> None:
        self._runner = runner

    def __call__(self, call: Call, listener: LineListener = ignore_line) -> SdkOutcome:
        assert self._runner.stdin
        self._runner.stdin.write(json.dumps(_asked(call)) + "\n")
        self._runner.stdin.flush()
        deadline = threading.Timer(call.timeouts.longest, self._runner.kill)
        deadline.start()
        try:
            lines = list(self._lines(listener))
        finally:
            deadline.cancel()
        assert lines[-1:] == [{"what": "done"}], f"the runner broke off after {lines}"
        return parse_lines(lines)

    def _lines(self, listener: LineListener) -> Iterator[Line]:
        assert self._runner.stdout
        for line in map(json.loads, self._runner.stdout):
            listener(line)
            yield line
            if line["what"] == "done":
                return


def _asked(call: Call) -> dict[str, Any]:
    waits = {"timeout": call.timeouts.seconds, "max_retries": call.timeouts.retries}
    return {
        "sdk": call.sdk,
        "operation": call.operation,
        "params": call.params,
        "files": {
            name: [str(path) for path in file] if isinstance(file, list) else str(file)
            for name, file in call.files.items()
        },
        "client": {"base_url": f"{call.url}/v1", "api_key": call.key}
        | {name: wait for name, wait in waits.items() if wait is not None},
        "headers": call.headers,
    }


def javascript(call: Call, listener: LineListener = ignore_line) -> SdkOutcome:
    """Call through OpenAI's SDK for JavaScript."""
    waits = {
        "timeout": call.timeouts.seconds and round(call.timeouts.seconds * 1000),
        "maxRetries": call.timeouts.retries,
    }
    return sdk_js.call(
        f"{call.url}/v1",
        call.key,
        call.operation,
        call.params,
        files={name: [*file] if isinstance(file, list) else file for name, file in call.files.items()},
        client={name: wait for name, wait in waits.items() if wait is not None},
        request={"headers": dict(call.headers)},
        listener=listener,
    )
