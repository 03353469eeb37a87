"""Calls through Vercel's AI SDK, beside OpenAI's for JavaScript: the tests' end of `tests/sdk_js/ai.mjs`.

Rule: one process is one call, and its environment has no address or key but those given. An error of the call is part
of the outcome.

Fails with: `AssertionError`, with the output, if the runner breaks or takes too long.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.environments import sdk
from tests.support.gateway import GatewayProcess, clean_environment
from tests.support.sdk_js import ROOT, SECONDS

RUNNER = ROOT / "tests" / "sdk_js" / "ai.mjs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Result or error of `generateImage`. `headers` are those of each call that it made."""

    images: Sequence[Mapping[str, Any]] = ()
    usage: Mapping[str, int]
    warnings: Sequence[Mapping[str, Any]] = ()
    headers: Sequence[Mapping[str, str]] = ()
    error: Mapping[str, Any]

    @property
    def digests(self) -> list[dict[str, Any]]:
        """Images as `sdk_js.digest` describes them."""
        return [{"length": image["length"], "sha256": image["sha256"]} for image in self.images]


def draw(
    gateway: GatewayProcess,
    provider: str,
    model: str,
    options: Mapping[str, Any],
    *,
    images: Sequence[Path] = (),
    mask: Path | None = None,
) -> Drawn:
    """Call `generateImage` once. It may call the gateway several times. It retries only if `options` say so."""
    call = {
        "provider": provider,
        "model": model,
        "options": {"maxRetries": 0} | dict(options),
        "images": [str(path) for path in images],
        "mask": str(mask) if mask else None,
    }
    done = subprocess.run(
        [str(sdk("js") / "bin" / "node"), str(RUNNER)],
        cwd=sdk("js"),
        env=clean_environment(OPENAI_BASE_URL=f"{gateway.url}/v1", OPENAI_API_KEY=gateway.key),
        input=json.dumps(call),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return Drawn(**{"usage": {}, "error": {}} | result.get("result", {}) | {"error": result.get("error", {})})
