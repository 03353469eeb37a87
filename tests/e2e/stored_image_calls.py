"""Settings and calls that tests of stored images share."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from service.domain.team_access import key_digest
from tests.support.gateway import SLOW_STORES, GatewayProcess

OTHERS = {"authorization": "Bearer igw_others"}
TEAMS = f"teams: {{others: {{keys: [{{id: others-1, sha256: {key_digest('igw_others')}}}]}}}}"


def settings(folder: Path, config: Path, gateway: str) -> str:
    """Write the settings of a test: the shipped models, another team, and a given gateway.yaml."""
    folder.mkdir()
    (folder / "models.yaml").write_text((config / "models.yaml").read_text())
    (folder / "teams.yaml").write_text(TEAMS)
    (folder / "gateway.yaml").write_text(f"{gateway}\n{SLOW_STORES}")
    return str(folder)


def generate_image(http: httpx2.Client, gateway: GatewayProcess, **fields: object) -> dict[str, Any]:
    """Generate a new image."""
    body = {"prompt": "a fox", **fields}
    reply = http.post(f"{gateway.url}/v1/images/generations", json=body, headers=gateway.headers)
    assert reply.status_code == 200, reply.text
    item: dict[str, Any] = reply.json()["data"][0]
    return item


def edit(
    http: httpx2.Client, gateway: GatewayProcess, headers: Mapping[str, str] | None = None, **fields: object
) -> httpx2.Response:
    return http.post(
        f"{gateway.url}/v1/images/edits", json={"prompt": "at night", **fields}, headers=headers or gateway.headers
    )


def read_image(item: Mapping[str, Any]) -> bytes:
    return base64.b64decode(item["b64_json"])


def upload(
    http: httpx2.Client, gateway: GatewayProcess, body: bytes, purpose: str = "vision", name: str = "fox.png"
) -> httpx2.Response:
    return http.post(
        f"{gateway.url}/v1/files",
        data={"purpose": purpose},
        files={"file": (name, body, "application/octet-stream")},
        headers=gateway.headers,
    )
