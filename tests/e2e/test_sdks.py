"""The SDKs of callers, in their usual versions, against every backend."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.simulators.server import Simulator
from tests.support.environments import sdk_python
from tests.support.gateway import GatewayProcess, clean_environment
from tests.support.images import mask, png

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "sdk_calls.py"
GENERATIONS = ["new", "old"]

pytestmark = pytest.mark.parametrize("sdk", GENERATIONS)


def run(sdk: str, call: str, gateway: GatewayProcess, folder: Path, model: str = "gpt-image-2") -> dict[str, Any]:
    done = subprocess.run(
        [sdk_python(sdk), str(SCRIPT), call, gateway.url, gateway.key, str(folder), model],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(16):
        (tmp_path / f"image-{index}.png").write_bytes(png(color=(index * 15, 80, 255 - index * 15)))
    (tmp_path / "mask.png").write_bytes(mask())
    return tmp_path


def drawn(folder: Path, index: int = 0) -> Image.Image:
    image = Image.open(folder / f"out-{index}.png")
    image.load()
    return image


def test_openai_generates_on_the_sandbox(sdk: str, sandbox_gateway: GatewayProcess, folder: Path) -> None:
    answer = run(sdk, "generate", sandbox_gateway, folder)
    assert (answer["count"], answer["size"], answer["quality"]) == (2, "1536x1024", "low")
    assert answer["output_tokens"] == 2 * 158
    assert [drawn(folder, index).size for index in (0, 1)] == [(1536, 1024)] * 2


def test_openai_gets_urls(sdk: str, sandbox_gateway: GatewayProcess, folder: Path, http: httpx2.Client) -> None:
    (address,) = run(sdk, "generate_url", sandbox_gateway, folder)["urls"]
    fetched = http.get(address)
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "image/png")


@pytest.mark.parametrize("call", ["edit_one", "edit_many"])
def test_openai_edits_on_the_sandbox(sdk: str, call: str, sandbox_gateway: GatewayProcess, folder: Path) -> None:
    answer = run(sdk, call, sandbox_gateway, folder)
    assert answer["count"] == 1
    assert answer["size"] == "x".join(map(str, drawn(folder).size))


@pytest.mark.parametrize(("call", "parts"), [("edit_one", ["image"]), ("edit_many", ["image[]"] * 16 + ["mask"])])
def test_openai_edits_through_openai(
    sdk: str, call: str, parts: list[str], openai_gateway: GatewayProcess, openai_sim: Simulator, folder: Path
) -> None:
    assert run(sdk, call, openai_gateway, folder)["count"] == 1
    (received,) = openai_sim.requests
    assert [file.part_name for file in received.files] == parts
    assert {file.content_type for file in received.files} == {"image/png"}
    names = ["mask" if part == "mask" else f"image-{index}" for index, part in enumerate(parts)]
    assert [file.body for file in received.files] == [(folder / f"{name}.png").read_bytes() for name in names]


def test_openai_generates_through_each_vendor(
    sdk: str,
    openai_gateway: GatewayProcess,
    together_gateway: GatewayProcess,
    openai_sim: Simulator,
    together_sim: Simulator,
    folder: Path,
) -> None:
    through_openai = run(sdk, "generate", openai_gateway, folder)
    assert (through_openai["count"], through_openai["output_tokens"]) == (2, 316)
    with pytest.raises(AssertionError, match="quality is not supported by provider together"):
        run(sdk, "generate", together_gateway, folder)
    assert (len(openai_sim.requests), len(together_sim.requests)) == (1, 0)


@pytest.mark.parametrize("model", ["gpt-image-2", "black-forest-labs/FLUX.2-pro"])
def test_together_generates_through_together(
    sdk: str, model: str, together_gateway: GatewayProcess, together_sim: Simulator, folder: Path
) -> None:
    assert run(sdk, "together_generate", together_gateway, folder, model)["count"] == 2
    (received,) = together_sim.requests
    assert (received.fields["width"], received.fields["response_format"]) == (1024, "base64")
    assert drawn(folder, 1).size == (1024, 1024)


def test_together_generates_on_the_sandbox_and_through_openai(
    sdk: str, sandbox_gateway: GatewayProcess, openai_gateway: GatewayProcess, openai_sim: Simulator, folder: Path
) -> None:
    assert run(sdk, "together_generate", sandbox_gateway, folder)["count"] == 2
    assert run(sdk, "together_generate", openai_gateway, folder)["count"] == 2
    (received,) = openai_sim.requests
    assert received.fields["size"] == "1024x1024"


@pytest.mark.parametrize("call", ["azure_generate", "azure_deployment", "azure_v1", "azure_edit"])
def test_azures_clients_generate(sdk: str, call: str, sandbox_gateway: GatewayProcess, folder: Path) -> None:
    answer = run(sdk, call, sandbox_gateway, folder)
    assert answer["count"] == 1
    assert answer["size"] == "x".join(map(str, drawn(folder).size))


def test_azures_clients_stream_and_list(sdk: str, sandbox_gateway: GatewayProcess, folder: Path) -> None:
    events = run(sdk, "azure_stream", sandbox_gateway, folder)["events"]
    assert events == ["image_generation.partial_image", "image_generation.completed"]
    answer = run(sdk, "azure_rest", sandbox_gateway, folder)
    assert answer == {"models": True, "refused": ["invalid_value", "model"], "listed": True}


def test_errors_have_the_classes_of_the_sdk(sdk: str, sandbox_gateway: GatewayProcess, folder: Path) -> None:
    answer = run(sdk, "failing", sandbox_gateway, folder)
    assert (answer["code"], answer["param"]) == ("invalid_value", "size")
    assert answer["request_id"].startswith("req_")


def test_models_are_listed_and_described(sdk: str, sandbox_gateway: GatewayProcess, folder: Path) -> None:
    answer = run(sdk, "models", sandbox_gateway, folder, "black-forest-labs/FLUX.2-pro")
    assert {"gpt-image-2", "gpt-image-2.6-flare", "black-forest-labs/FLUX.2-pro"} <= set(answer["ids"])
    assert (answer["one"], answer["owned_by"]) == ("black-forest-labs/FLUX.2-pro", "black-forest-labs")


def test_files_are_uploaded_edited_and_deleted(
    sdk: str, openai_gateway: GatewayProcess, openai_sim: Simulator, folder: Path
) -> None:
    answer = run(sdk, "files", openai_gateway, folder)
    assert answer == {
        "filename": "image-0.png",
        "same": True,
        "edited": 1,
        "fetched": True,
        "deleted": True,
        "code": "file_not_found",
    }
    (received,) = openai_sim.requests
    assert [file.body for file in received.files] == [(folder / "image-0.png").read_bytes()]


def test_files_with_an_expiry_are_listed_by_pages_and_deleted_on_the_way(
    sdk: str, sandbox_gateway: GatewayProcess, folder: Path
) -> None:
    answer = run(sdk, "files_listed", sandbox_gateway, folder)
    assert answer == {"seconds": [7200] * 3, "newest_first": True, "left": []}
