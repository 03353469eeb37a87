"""Images for machines that reach Debian's packages and no registry: `make base-images`.

Rule: an image gets the tag that the Dockerfile, compose.yaml or the suite names. It is made of the Debian release of
Python's official image. Of the official entrypoint it has the part that is used here. Its versions are Debian's. A tag
that the engine has stays, so that no official image is replaced. A program that Debian lacks is not made.
"""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support.postgres import POSTGRES_IMAGE
from tests.support.servers import REDIS_IMAGE, docker_has
from tools.container.named import CONTAINER, base_image, image_of

DEBIAN, SUITE, MIRROR = "debian:trixie-slim", "trixie", "http://deb.debian.org/debian"
OBJECTS = "image-gateway-objects:debian"
TAGS: Mapping[str, tuple[str, ...]] = {
    "python": (base_image(),),
    "redis": (REDIS_IMAGE, image_of("redis")),
    "postgres": (POSTGRES_IMAGE, image_of("postgres")),
    "haproxy": (image_of("balancer"),),
    "prometheus": (image_of("prometheus"),),
    "objects": (OBJECTS,),
}
"""Folders of `standins`, with the tags that are made of each."""

SURPLUS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


def make_missing(mirror: str = MIRROR) -> list[str]:
    """Make the images that the engine lacks, and return their tags."""
    missing = [(name, tag) for name, tags in TAGS.items() for tag in tags if not docker_has(tag)]
    if missing and not docker_has(DEBIAN):
        _import_debian(mirror)
    for name, tag in missing:
        # The network of this machine: the bridge's may lead nowhere where there is no registry.
        _run("docker", "build", "--network", "host", "--tag", tag, str(CONTAINER / "standins" / name))
    return [tag for _, tag in missing]


def _import_debian(mirror: str) -> None:
    """Import a minimal Debian, without documents. debootstrap has to be root."""
    with tempfile.TemporaryDirectory(prefix="debian-") as folder:
        root = Path(folder) / "root"
        _run("debootstrap", "--variant=minbase", SUITE, str(root), mirror)
        surplus = [f"--exclude=./{path}/*" for path in SURPLUS]
        packing = [
            "tar",
            "-C",
            str(root),
            "--numeric-owner",
            "--one-file-system",
            *surplus,
            "--exclude=./dev/*",
            "-c",
            ".",
        ]
        with subprocess.Popen(packing, stdout=subprocess.PIPE) as tar:
            _run("docker", "import", "--change", 'CMD ["bash"]', "-", DEBIAN, stdin=tar.stdout)
        assert tar.returncode == 0


def _run(*command: str, stdin: IO[bytes] | None = None) -> None:
    print("+", *command, flush=True)
    subprocess.run(command, check=True, stdin=stdin)
