"""OpenAI's SDK for Java against the sandbox: `make sdk-java`, which needs Maven. One JVM makes all calls."""

import subprocess
from pathlib import Path

from tests.support.gateway import GatewayProcess, clean_environment
from tests.support.images import png

HERE = Path(__file__).parent
JARS = HERE.parents[1] / ".venv-sdk" / "java"
PNG = "iVBORw0K"
"""How base64 of a PNG begins."""


def test_it_draws_edits_streams_and_finds_every_required_field(sandbox_gateway: GatewayProcess, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(size=(256, 256)))
    done = subprocess.run(
        ["java", "-cp", f"{JARS}/*", str(HERE / "Calls.java"), str(photo)],
        env=clean_environment(OPENAI_BASE_URL=f"{sandbox_gateway.url}/v1", OPENAI_API_KEY=sandbox_gateway.key),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        f"generate {PNG} 199",
        f"cached {PNG} 199",
        f"flux {PNG} none",
        f"edit {PNG} 3209",
        "stream preview preview completed",
        "flux-stream completed",
        "refused 400 invalid_value size",
        "unknown 401 invalid_api_key none",
        "file vision true",
        "models true",
    ]
