"""docs/callers.md: every snippet works as pasted, and its tables leave nothing out.

Rule: a snippet is what stands between fences of python, js or sh. All run in one folder, in the page's order, against
one gateway with its sandbox; those of one language go on from that language's first. Who fails or says nothing of what
was promised fails the test.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from service.api.errors import FAILURES, ROWS, STATUSES
from service.domain import errors
from tests.conftest import CONFIG
from tests.support.environments import sdk, sdk_python
from tests.support.gateway import GatewayProcess, clean_environment, patient
from tests.support.pictures import mask, png

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "callers.md").read_text("utf-8")
FENCED = re.compile(r"^```(python|js|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOST, KEY = "https://images.example.com/v1", "igw_…"
OPERATORS = {"client_closed_request", "key_not_found", "team_not_found", "picture_not_found", "invalid_request"}
"""Codes that nobody reads, that are of the admin API, or that have a row under another name."""

TEAMS = "teams: { dev: { limits: { requests_per_minute: 10000, usd_per_month: 1000 } } }\n"
SAID = {
    "model.capabilities": "gpt-image-2 ['low', 'medium', 'high'] ['png', 'jpeg', 'webp']",
    "with client.images.generate(": "image_generation.partial_image\nimage_generation.partial_image\n"
    "image_generation.completed",
    "console.log(event.type)": "image_generation.completed",
    "curl -sN": "event: image_generation.completed",
    '"cost", answer': "cache miss",
    "group_by=day": "'usd_per_month'",
    "for _ in range(2)": "true ",
    "except openai.RateLimitError": "400 invalid_value size req_",
    "error.requestID": "400 invalid_value size req_",
    'client.images.generate(model="gpt-image-2", prompt="a red fox at dusk"': "/v1/images/img_",
}
"""A piece of a snippet → what it prints."""


@dataclass(frozen=True, slots=True)
class Snippet:
    language: str
    text: str


def snippets() -> Iterator[Snippet]:
    for language, text in FENCED.findall(PAGE):
        yield Snippet(language, text)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """As shipped, with a team that has limits."""
    config = tmp_path_factory.mktemp("settings")
    (config / "gateway.yaml").write_text(patient((CONFIG / "gateway.yaml").read_text()))
    (config / "models.yaml").write_text((CONFIG / "models.yaml").read_text())
    (config / "teams.yaml").write_text(TEAMS)
    with GatewayProcess(tmp_path_factory.mktemp("data"), {"IMAGE_GATEWAY_CONFIG": str(config)}) as process:
        yield process


def environment(gateway: GatewayProcess) -> Mapping[str, str]:
    url = f"{gateway.url}/v1"
    return clean_environment(
        OPENAI_BASE_URL=url,
        OPENAI_API_KEY=gateway.key,
        TOGETHER_BASE_URL=url,
        TOGETHER_API_KEY=gateway.key,
        TOGETHER_NO_BANNER="1",
    )


def command(snippet: Snippet, folder: Path, before: str) -> list[str]:
    if snippet.language == "sh":
        return ["bash", "-euo", "pipefail", "-c", snippet.text]
    file = folder / ("snippet.py" if snippet.language == "python" else "snippet.mjs")
    file.write_text(before + snippet.text)
    program = sdk_python("new") if snippet.language == "python" else str(sdk("js") / "bin" / "node")
    return [program, str(file)]


def run(snippet: Snippet, folder: Path, before: str, gateway: GatewayProcess) -> str:
    """What it prints."""
    done = subprocess.run(
        command(snippet, folder, before),
        cwd=folder,
        env=dict(environment(gateway)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{snippet.text}\n{done.stderr}"
    return done.stdout


def test_every_snippet_works_as_pasted(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png(size=(1024, 1024)))
    (tmp_path / "mask.png").write_bytes(mask(size=(1024, 1024)))
    (tmp_path / "node_modules").symlink_to(sdk("js") / "node_modules")
    first: dict[str, str] = {}
    promised = dict(SAID)
    for snippet in snippets():
        text = snippet.text.replace(HOST, f"{gateway.url}/v1").replace(KEY, gateway.key)
        printed = run(Snippet(snippet.language, text), tmp_path, first.get(snippet.language, ""), gateway)
        first.setdefault(snippet.language, "" if snippet.language == "sh" else text)
        for piece in [piece for piece in promised if piece in snippet.text]:
            assert promised.pop(piece) in printed, f"{snippet.text}\n{printed}"
    assert promised == {}

    written = {*re.findall(r'"?([a-z-]+\.png)"?', PAGE)} | {"stamp-2.png", "hare.png", "owl.png", "elk.png"}
    for name in written | {"variant-1.png", "variant-2.png"}:
        with Image.open(tmp_path / name) as picture:
            picture.load()


def test_every_code_that_a_caller_may_see_has_its_row() -> None:
    table = PAGE[PAGE.index("## Errors") :]
    told = {*re.findall(r"`([a-z_]+)`", table)}
    codes = {row.code for row in (*ROWS.values(), *FAILURES.values())} | {*STATUSES.values()}
    assert codes - told - OPERATORS == set()
    assert errors.PictureNotFound in ROWS


def test_what_is_said_of_sdks_is_said_of_those_that_are_tried() -> None:
    listed = {
        name: subprocess.run(
            [sdk_python("new"), "-c", f"import {name}; print({name}.__version__)"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"TOGETHER_NO_BANNER": "1"},
        ).stdout.rpartition(".")[0]
        for name in ("openai", "together")
    }
    assert f"`openai` {listed['openai']} and `together` {listed['together']} for Python" in PAGE
    openai, ai = (
        json.loads((sdk("js") / "node_modules" / name / "package.json").read_text())["version"].rpartition(".")[0]
        for name in ("openai", "ai")
    )
    assert f"`openai` {openai} for\nJavaScript, and with Vercel's `ai` {ai}." in PAGE
