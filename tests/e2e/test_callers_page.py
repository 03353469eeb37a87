"""docs/callers.md: every snippet works as pasted, and its tables are complete.

Rule: a snippet is the text between fences of python, js or sh. All run in one folder, in the page's order within a
language, against one gateway with its sandbox. Snippets of one language share the state of its first snippet, and no
state with other languages. One process runs all of a language, because importing the SDKs takes longer than using them.
A snippet that fails, or prints none of the promised output, fails the test.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

from service.api.http.errors import FAILURES, ROWS, STATUSES
from service.domain import errors
from tests.conftest import CONFIG
from tests.support.environments import sdk, sdk_python
from tests.support.gateway import GatewayProcess, clean_environment, with_slow_stores
from tests.support.images import mask, png

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "callers.md").read_text("utf-8")
FENCED = re.compile(r"^```(python|js|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOST, KEY = "https://images.example.com/v1", "igw_…"
OPERATORS = {"client_closed_request", "key_not_found", "team_not_found", "picture_not_found", "invalid_request"}
"""Codes that callers never see, that the admin API has, or whose row has another name."""

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
"""A part of a snippet → its output."""


NEXT = "---- the next snippet"
RUNNERS = {
    "python": """
import json, sys
first, *others = json.load(open(sys.argv[1]))
names = {"__name__": "__main__"}
exec(compile(first, "the first snippet", "exec"), names)
for number, text in enumerate(others, 2):
    print(sys.argv[2], flush=True)
    exec(compile(text, f"snippet {number}", "exec"), dict(names))
""",
    "js": """
import { readFileSync, writeFileSync } from "node:fs";
const [first, ...others] = JSON.parse(readFileSync(process.argv[2]));
for (const [number, text] of ["", ...others].entries()) {
  if (number) console.log(process.argv[3]);
  writeFileSync(`snippet-${number}.mjs`, first + text);
  await import(`${process.cwd()}/snippet-${number}.mjs`);
}
""",
}
"""Programs that run the snippets of a file one by one, with a printed line between them."""


def snippets() -> Mapping[str, Sequence[str]]:
    """Return the snippets of each language, in the page's order. Other languages send images that those of Python
    write.
    """
    texts: dict[str, list[str]] = {"python": [], "js": [], "sh": []}
    for language, text in FENCED.findall(PAGE):
        texts[language].append(text)
    return texts


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway as shipped, with a team that has limits."""
    config = tmp_path_factory.mktemp("settings")
    (config / "gateway.yaml").write_text(with_slow_stores((CONFIG / "gateway.yaml").read_text()))
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


def commands(language: str, texts: Sequence[str], folder: Path) -> Iterator[Sequence[str]]:
    """Yield the commands that run the snippets."""
    if language == "sh":
        yield from (["bash", "-euo", "pipefail", "-c", text] for text in texts)
        return
    program = sdk_python("new") if language == "python" else str(sdk("js") / "bin" / "node")
    runner, file = folder / ("run.py" if language == "python" else "run.mjs"), folder / f"{language}.json"
    runner.write_text(RUNNERS[language])
    file.write_text(json.dumps(texts))
    yield [program, str(runner), str(file), NEXT]


def printed(language: str, texts: Sequence[str], folder: Path, gateway: GatewayProcess) -> Iterator[str]:
    """Yield the output of each snippet."""
    for command in commands(language, texts, folder):
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment(gateway)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout.rpartition(NEXT)[2]}\n{done.stderr}"
        yield from done.stdout.split(f"{NEXT}\n")


def test_every_snippet_works_as_pasted(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png(size=(1024, 1024)))
    (tmp_path / "mask.png").write_bytes(mask(size=(1024, 1024)))
    (tmp_path / "node_modules").symlink_to(sdk("js") / "node_modules")
    promised = dict(SAID)
    for language, pasted in snippets().items():
        texts = [text.replace(HOST, f"{gateway.url}/v1").replace(KEY, gateway.key) for text in pasted]
        for text, output in zip(pasted, printed(language, texts, tmp_path, gateway), strict=True):
            for piece in [piece for piece in promised if piece in text]:
                assert promised.pop(piece) in output, f"{text}\n{output}"
    assert promised == {}

    written = {*re.findall(r'"?([a-z-]+\.png)"?', PAGE)} | {"stamp-2.png", "hare.png", "owl.png", "elk.png"}
    for name in written | {"variant-1.png", "variant-2.png"}:
        with Image.open(tmp_path / name) as image:
            image.load()


def test_every_error_code_has_its_row() -> None:
    table = PAGE[PAGE.index("## Errors") :]
    listed = {*re.findall(r"`([a-z_]+)`", table)}
    codes = {row.code for row in (*ROWS.values(), *FAILURES.values())} | {*STATUSES.values()}
    assert codes - listed - OPERATORS == set()
    assert errors.ImageNotFound in ROWS


def test_the_page_names_exactly_the_tested_sdks() -> None:
    code = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]))"
    names = ("openai", "together")
    versions = subprocess.run(
        [sdk_python("new"), "-c", code, *names], capture_output=True, text=True, check=True
    ).stdout
    listed = {name: version.rpartition(".")[0] for name, version in zip(names, versions.split(), strict=True)}
    assert f"`openai` {listed['openai']} and `together` {listed['together']} for Python" in PAGE
    openai, ai = (
        json.loads((sdk("js") / "node_modules" / name / "package.json").read_text())["version"].rpartition(".")[0]
        for name in ("openai", "ai")
    )
    assert f"`openai` {openai} for\nJavaScript, and with Vercel's `ai` {ai}." in PAGE
