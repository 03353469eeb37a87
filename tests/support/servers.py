"""Real servers for the suite: containers if a Docker engine answers, otherwise wheels.

Rule: one place decides. `TEST_SERVERS=containers` or `wheels` forces the choice. Either way the tests get an address,
and a missing server fails the run.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testcontainers.community.redis import RedisContainer
from testcontainers.core.config import ConnectionMode, testcontainers_config

from service.adapters.embedded_valkey import run_valkey

REDIS_IMAGE = os.environ.get("TEST_REDIS_IMAGE", "redis:7-alpine")
DOCKER_ANSWERS_SECONDS = 5

testcontainers_config.ryuk_disabled = True  # its image would have to be pulled; our containers end with their block
testcontainers_config.connection_mode_override = ConnectionMode.docker_host  # published ports are on this machine


def docker_has(image: str) -> bool:
    """Return whether an engine answers and has the image. Nothing is pulled: not every machine has a registry."""
    try:
        result = subprocess.run(
            ["docker", "image", "inspect", image],
            capture_output=True,
            timeout=DOCKER_ANSWERS_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


@contextmanager
def real_redis(folder: Path) -> Iterator[str]:
    """Run a Redis or Valkey server."""
    choice = os.environ.get("TEST_SERVERS") or ("containers" if docker_has(REDIS_IMAGE) else "wheels")
    if choice == "containers":
        with RedisContainer(REDIS_IMAGE) as container:
            yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}"
    else:
        with run_valkey(folder) as url:
            yield url
