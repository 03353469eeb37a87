"""The image, built once."""

import pytest

from tests.container.engine import build


@pytest.fixture(scope="session")
def image() -> str:
    return build()
