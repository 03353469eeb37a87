"""LiteLLM's proxy, as its documentation starts it: one worker, a master key, no database.

Rule: it has its own environment (`make .venv-litellm`). Without a database it has no teams, budgets or ledger, and its
cache does not store images. Successful calls are not logged.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tools.bench.cases import EVERY, SLOW, Case, Kind
from tools.bench.peers.nginx import KEY
from tools.bench.peers.peer import Peer, bearer
from tools.bench.peers.running import NotRunning, free_port, running

HOME = Path(__file__).parents[3] / ".venv-litellm"
MASTER = "sk-bench-master"
SILENT = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it fetches prices from GitHub
    "LITELLM_MODE": "PRODUCTION",
    "NO_DOCS": "True",
}


@contextmanager
def litellm(folder: Path, vendor: str, slow: str) -> Iterator[Peer]:
    """Run the proxy."""
    program = HOME / "bin" / "litellm"
    if not program.is_file():
        raise NotRunning("LiteLLM is needed: make .venv-litellm")
    place, port = folder / "litellm", free_port()
    place.mkdir()
    models = [_model(case, slow if case is SLOW else vendor) for case in EVERY]
    settings = {
        "model_list": models,
        "general_settings": {"master_key": MASTER},
        "litellm_settings": {"telemetry": False, "request_timeout": 300},
    }
    (place / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML
    command = [
        str(program),
        "--config",
        "config.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    with running([*command, "--telemetry", "False"], port, place / "log", SILENT, place) as pid:
        url = f"http://127.0.0.1:{port}"
        yield Peer(name="LiteLLM", url=url, headers=bearer(MASTER), own=(pid,), unable=(Kind.STREAM, Kind.HIT))


def _model(case: Case, vendor: str) -> Mapping[str, object]:
    address = {"model": "openai/gpt-image-2", "api_base": f"{vendor}/{case.slug}/v1", "api_key": KEY}
    return {"model_name": case.model, "litellm_params": address, "model_info": {"mode": "image_generation"}}
