"""Calls through OpenAI's SDK for JavaScript, in a Node of its own: the tests' end of `tests/sdk_js/run.mjs`.

Rule: one process is one call, and its environment has no address or key but those given. An error of the call is part
of the answer; a runner that breaks or takes too long is an `AssertionError` with what it printed.
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
"""A picture: as a stream of its file, or as its bytes with a media type. The SDK repeats calls with the latter only."""

Files = Mapping[str, File | list[File]]
"""The pictures of an edit, by parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkOutcome:
    """What the SDK handed over. Of base64 there is the digest and the length, as `digest` says it.

    `headers` are the answer's x-*, if there was one; `result` is that of a call without `stream`, `events` those of a
    call with it, which `ended` if the SDK came to the stream's end; `error` is what the SDK threw. `classes` are those
    of the events, where the language has any.
    """

    headers: Mapping[str, str]
    result: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    ended: bool
    error: Mapping[str, Any]
    classes: Sequence[str] = ()

    @property
    def pictures(self) -> list[Any]:
        """The pictures of a result, as `digest` says them."""
        return [item["b64_json"] for item in self.result["data"]]


Line = Mapping[str, Any]
LineListener = Callable[[Line], object]
"""Is given each line that a runner prints, as soon as it is printed."""


def ignore_line(line: Line) -> None:
    """Nobody listens."""


def digest(base64: str | bytes) -> dict[str, object]:
    """How the runner tells base64."""
    encoded = base64.encode() if isinstance(base64, str) else base64
    return {"length": len(encoded), "sha256": hashlib.sha256(encoded).hexdigest()}


def through(gateway: GatewayProcess, operation: str, params: Mapping[str, Any], **more: Any) -> SdkOutcome:
    """Call a gateway with its dev key; as `call` else."""
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
    heard: LineListener = ignore_line,
) -> SdkOutcome:
    """One call of `client.images`: `generate` or `edit`. The client does not repeat it, unless `maxRetries` says so."""
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
    with tempfile.TemporaryFile("w+") as said, _runner(base_url, key, said) as runner:
        assert runner.stdin
        assert runner.stdout
        json.dump(asked, runner.stdin)
        runner.stdin.close()
        for line in map(json.loads, runner.stdout):
            lines.append(line)
            heard(line)
        said.seek(0)
        assert runner.wait() == 0, said.read()
    return parse_lines(lines)


def _runner(base_url: str, key: str, said: IO[str]) -> subprocess.Popen[str]:
    """It ends by itself, after so many seconds at the latest."""
    return subprocess.Popen(
        [str(sdk("js") / "bin" / "node"), str(RUNNER)],
        cwd=sdk("js"),
        env=clean_environment(OPENAI_BASE_URL=base_url, OPENAI_API_KEY=key),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
    )


def _named(file: File) -> str | dict[str, str]:
    return str(file) if isinstance(file, Path) else {"path": str(file[0]), "type": file[1]}


def parse_lines(lines: Sequence[Line]) -> SdkOutcome:
    """What the lines of one call say."""
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
