"""Replicas on shared stores, with the shipped settings, cache and keys included."""

from collections.abc import Callable
from pathlib import Path

import httpx2

from service.domain.team_access import key_digest
from tests.support.gateway import GatewayProcess

TEAMS = "teams:\n" + "".join(
    f"  {name}: {{keys: [{{id: {name}, sha256: {key_digest(f'igw_{name}')}}}]}}\n" for name in ("search", "ads")
)
PATH = "/v1/images/generations"
EVER = "since=2020-01-01"
"""Far end of a usage report. Without it a report omits entries of a month that ends during the test."""

Start = Callable[..., GatewayProcess]


def change(tmp_path: Path, was: str, becomes: str) -> None:
    """Change a line of gateway.yaml."""
    settings = tmp_path / "config" / "gateway.yaml"
    text = settings.read_text()
    assert was in text
    settings.write_text(text.replace(was, becomes))


def build_body(prompt: str) -> dict[str, str]:
    return {"prompt": prompt, "quality": "low", "size": "1024x1024"}


def ask(
    http: httpx2.Client,
    gateway: GatewayProcess,
    prompt: str,
    who: str = "search",
    more: dict[str, object] | None = None,
    **headers: str,
) -> httpx2.Response:
    headers_sent = {
        "authorization": f"Bearer igw_{who}",
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    return http.post(gateway.url + PATH, json=build_body(prompt) | (more or {}), headers=headers_sent)
