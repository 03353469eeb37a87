"""Images, files and settings that the Dockerfile and compose.yaml name.

Rule: they are read from these two files, so that a tag stands in one place.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CONTAINER = Path(__file__).parent
DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "compose.yaml"
OVERLAY = CONTAINER / "compose.yaml"
SETTINGS = ROOT / "config" / "compose"
KEY = "igw_for-evaluation-only"

Service = Mapping[str, Any]


def base_image() -> str:
    """Return the default of the build argument PYTHON_IMAGE."""
    match = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert match
    return match[1]


def final_stage() -> str:
    """Return the Dockerfile after its last FROM."""
    return DOCKERFILE.read_text().rpartition("\nFROM ")[2]


def compose(file: Path = COMPOSE) -> Mapping[str, Any]:
    """Return compose.yaml, or a file that overrides parts of it."""
    document: Mapping[str, Any] = YAML(typ="safe", pure=True).load(file)
    return document


def services(file: Path = COMPOSE) -> Mapping[str, Service]:
    """Return the services by name."""
    by_name: Mapping[str, Service] = compose(file)["services"]
    return by_name


def image_of(service: str) -> str:
    return str(services()[service]["image"])


def mounted() -> Iterator[Path]:
    """Yield the paths of this repository that any service mounts."""
    secrets = (secret["file"] for secret in compose()["secrets"].values())
    volumes = (volume.split(":")[0] for service in services().values() for volume in service.get("volumes", ()))
    for name in (*secrets, *(volume for volume in volumes if volume.startswith("./"))):
        yield ROOT / name
