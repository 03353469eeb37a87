"""Calls through OpenAI's SDK for JavaScript, in its own Node: the tests' end of `tests/sdk_js/run.mjs`.

Rule: one process is one call, and its environment has no address or key but those given. An error of the call is part
of the outcome.

Fails with: `AssertionError`, with the output, if the runner breaks or takes too long.
"""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.environments import sdk
from tests.support.gateway import GatewayProcess, clean_environment

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "tests" / "sdk_js" / "run.mjs"
SECONDS = 60

File = Path | tuple[Path, str]
"""An image: a stream of its file, or its bytes with a media type. The SDK repeats calls with bytes only."""

Files = Mapping[str, File | list[File]]
"""Images of an edit, by parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkOutcome:
    """Outcome of a call through an SDK. Base64 is replaced by `digest`.

    Attributes:
        headers: The x-* headers of the response, if any.
        result: Result of a call without `stream`.
        events: Events of a call with `stream`.
        ended: True if the SDK reached the end of the stream.
        error: The error that the SDK threw.
        classes: Classes of the events, in languages that have them.
    """

    headers: Mapping[str, str]
    result: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    ended: bool
    error: Mapping[str, Any]
    classes: Sequence[str] = ()

    @property
    def images(self) -> list[Any]:
        """Images of a result, as `digest` describes them."""
        return [item["b64_json"] for item in self.result["data"]]


Line = Mapping[str, Any]
LineListener = Callable[[Line], object]
"""Function that gets each line of a runner at once."""


def ignore_line(line: Line) -> None:
    """Ignore the line."""


def digest(base64: str | bytes) -> dict[str, object]:
    """Return the runner's description of base64: length and digest."""
    encoded = base64.encode() if isinstance(base64, str) else base64
    return {"length": len(encoded), "sha256": hashlib.sha256(encoded).hexdigest()}


def through(gateway: GatewayProcess, operation: str, params: Mapping[str, Any], **more: Any) -> SdkOutcome:
    """Call a gateway with its dev key. Other arguments are those of `call`."""
    return call(f"{gateway.url}/v1", gateway.key, operation, params, **more)


def call(
    base_url: str,
    key: str,
    operation: str,
    params: Mapping[str, Any],
    *,
    files: Files | None = None,
    client: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    listener: LineListener = ignore_line,
) -> SdkOutcome:
    """Call `client.images` once: `generate` or `edit`. The client retries only if `maxRetries` is set."""
    asked = {
        "operation": operation,
        "params": params,
        "files": {
            name: [*map(_named, file)] if isinstance(file, list) else _named(file)
            for name, file in (files or {}).items()
        },
        "client": {"maxRetries": 0} | dict(client or {}),
        "request": request or {},
        "seconds": SECONDS,
    }
    lines = []
    with tempfile.TemporaryFile("w+") as errors, _runner(base_url, key, errors) as runner:
        assert runner.stdin
        assert runner.stdout
        json.dump(asked, runner.stdin)
        runner.stdin.close()
        for line in map(json.loads, runner.stdout):
            lines.append(line)
            listener(line)
        errors.seek(0)
        assert runner.wait() == 0, errors.read()
    return parse_lines(lines)


def _runner(base_url: str, key: str, errors: IO[str]) -> subprocess.Popen[str]:
    """Start the runner. It ends after `SECONDS` at the latest."""
    return subprocess.Popen(
        [str(sdk("js") / "bin" / "node"), str(RUNNER)],
        cwd=sdk("js"),
        env=clean_environment(OPENAI_BASE_URL=base_url, OPENAI_API_KEY=key),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


def _named(file: File) -> str | dict[str, str]:
    return str(file) if isinstance(file, Path) else {"path": str(file[0]), "type": file[1]}


def parse_lines(lines: Sequence[Line]) -> SdkOutcome:
    """Parse the lines of one call."""
    last = {line["what"]: line for line in lines}
    events = [line for line in lines if line["what"] == "event"]
    return SdkOutcome(
        headers=last.get("headers", {}).get("headers", {}),
        result=last.get("result", {}).get("result", {}),
        events=[line["event"] for line in events],
        ended="end" in last,
        error=last.get("error", {}).get("error", {}),
        classes=[line["type"] for line in events if "type" in line],
    )
