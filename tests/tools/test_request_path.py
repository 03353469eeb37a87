"""Length of a request's path: own frames from the handler to the backend, and commands to Redis."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.request_path import Seen, measure, table

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
MAX_FRAMES = 10


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Seen]:
    return measure(tmp_path_factory.mktemp("gateway"))


def test_a_handler_is_at_most_ten_frames_from_the_backend(seen: Mapping[str, Seen]) -> None:
    frames = seen["miss"].frames

    assert frames[0].endswith("images.py generate")
    assert frames[-1].endswith("SandboxBackend.generate")
    assert len(frames) <= MAX_FRAMES


def test_the_figures_are_those_of_the_architecture_page(seen: Mapping[str, Seen]) -> None:
    assert table(seen) in ARCHITECTURE.read_text("utf-8")
