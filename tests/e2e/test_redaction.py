"""Private data stays out of logs: secrets, prompts, images and users, for every request and every end."""

import base64
import re
import secrets
from pathlib import Path

import httpx2

from tests.e2e.replicas import PATH, Start
from tests.simulators import openai
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess
from tests.support.images import png

pytest_plugins = ["tests.support.databases"]

ADMIN, SIGNING = secrets.token_hex(32), secrets.token_hex(16)
PLANTED = ("violet-hippopotamus", "mallory@example.test", "key-of-mallory", "sk-operator", "igw_search", "igw_stolen")
BASE64 = re.compile(r"[A-Za-z0-9+/=]{120,}")
FAULTS = ("moderation_blocked", "server_error", "invalid_api_key", "rate_limit_images", "no_pictures")


def misbehave(http: httpx2.Client, gateway: GatewayProcess, openai_sim: Simulator) -> set[int]:
    """Send requests of many kinds, each with private data. Returns the statuses."""
    mine = {"authorization": "Bearer igw_search", "idempotency-key": "key-of-mallory"}
    body = {"prompt": "a violet-hippopotamus", "user": "mallory@example.test", "size": "1024x1024", "quality": "low"}
    image = base64.b64encode(png((64, 64))).decode()
    url, edits = gateway.url + PATH, f"{gateway.url}/v1/images/edits"
    replies = [
        http.post(url, json=body, headers=mine),
        http.post(url, json=body, headers={"authorization": "Bearer igw_stolen"}),
        http.post(url, json={**body, "quality": "violet-hippopotamus"}, headers=mine),
        http.post(url, json={**body, "violet-hippopotamus": image}, headers=mine),
        http.post(url, content=b'{"prompt": "a violet-hippopotamus', headers=mine),
        http.post(edits, data=body, files={"image": ("violet-hippopotamus.png", png())}, headers=mine),
        http.post(edits, data=body, files={"image": ("violet-hippopotamus.png", b"GIF89a" + b"A" * 200)}, headers=mine),
        http.post(
            edits,
            json={**body, "images": [{"image_url": f"data:image/png;base64,{image}"}]},
            headers={"authorization": "Bearer igw_search"},
        ),
        http.get(f"{gateway.url}/v1/usage", headers={"authorization": f"Bearer {ADMIN}"}),
        http.get(f"{gateway.url}/admin/v1/keys", headers={"authorization": f"Bearer {ADMIN}"}),
    ]
    for number, fault in enumerate(FAULTS):
        openai_sim.answer(openai.FAULTS[fault])
        another = {**body, "prompt": f"a violet-hippopotamus {number}"}
        replies.append(http.post(url, json=another, headers={"authorization": "Bearer igw_search"}))
    return {reply.status_code for reply in replies}


def test_secrets_prompts_images_and_users_are_not_logged(
    start: Start, http: httpx2.Client, openai_sim: Simulator
) -> None:
    with start(ADMIN_API_KEY=ADMIN, URL_SIGNING_KEY=SIGNING) as gateway:
        statuses = misbehave(http, gateway, openai_sim)
        assert statuses >= {200, 400, 401, 422, 429, 502}
        metrics = http.get(f"{gateway.url}/metrics").text
        gateway.signal()
        assert gateway.wait() == 0

    written = "".join(gateway.lines) + metrics
    assert [planted for planted in (*PLANTED, ADMIN, SIGNING) if planted in written] == []
    assert BASE64.search(written) is None
    assert len([line for line in gateway.logged() if line["event"] == "request"]) == 10 + len(FAULTS)


def test_prompts_are_logged_where_the_operator_enables_it(
    start: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    settings = tmp_path / "config" / "gateway.yaml"
    settings.write_text(settings.read_text().replace("  prompts: false #", "  prompts: true #"))
    with start() as gateway:
        misbehave(http, gateway, openai_sim)
    written = "".join(gateway.lines)
    assert "a violet-hippopotamus" in written
    assert [planted for planted in PLANTED[2:] if planted in written] == []
