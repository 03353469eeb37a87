"""The image, built once."""

import pytest

from tools.container.engine import build


@pytest.fixture(scope="session")
def image() -> str:
    return build()
