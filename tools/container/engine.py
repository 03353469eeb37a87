"""The Docker engine: the image of this tree, and containers of it.

Rule: without an engine, or without a base image, a caller gets an error that names the remedy. Containers end with
their block.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.gateway_site import await_true
from tests.support.servers import docker_has
from tools.container.named import ROOT, base_image

IMAGE = "image-gateway:test"
ADVICE = "tests/e2e/README.md says how to get one, and images where no registry is reachable"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108
STOP_SECONDS, START_SECONDS, PORT = 60, 60, 8080


class MissingEngine(Exception):
    """No engine answers, or it lacks a required image."""


class Refused(Exception):
    """A program refused; the message is its own."""


def docker(*arguments: str) -> str:
    """Return the output of `docker`."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout.strip()


def need_engine(*images: str) -> None:
    """Raise `MissingEngine` unless an engine answers and has these images."""
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        raise MissingEngine(f"No Docker engine answers. {ADVICE}")
    missing = [image for image in images if not docker_has(image)]
    if missing:
        raise MissingEngine(f"Not there: {', '.join(missing)}. Pull them, or `make base-images`. {ADVICE}")


def build() -> str:
    """Build the image of this tree with `make image`, and return its tag."""
    need_engine(base_image())
    done = subprocess.run(["make", "image", f"IMAGE={IMAGE}"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stdout[-3000:] + done.stderr)
    return IMAGE


def inspected(name: str) -> Mapping[str, Any]:
    """Return the engine's description of an image or a container."""
    description: Mapping[str, Any] = json.loads(docker("inspect", name))[0]
    return description


def python(image: str, code: str, *options: str) -> str:
    """Return the output of Python in a container."""
    return docker("run", "--rm", *HARDENED, *options, "--entrypoint", "python", image, "-c", code)


def ran(image: str, *arguments: str, options: Sequence[str] = ()) -> tuple[int, str]:
    """Run a container to its end. Returns its exit code and output."""
    command = ["docker", "run", "--rm", *HARDENED, *options, image, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Container:
    """A running container."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def url(self) -> str:
        """Address on this machine."""
        return "http://" + docker("port", self.name, str(PORT)).splitlines()[0]

    @property
    def health(self) -> str:
        """One of starting, healthy and unhealthy."""
        return str(inspected(self.name)["State"]["Health"]["Status"])

    def logged(self) -> list[Mapping[str, Any]]:
        """Return the log lines."""
        logs = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        lines = (logs.stdout + logs.stderr).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def await_logged(self, event: str) -> None:
        """Wait for a log line with this event."""
        await_true(lambda: any(line["event"] == event for line in self.logged()), START_SECONDS)

    def stop(self) -> int:
        """Stop the container and return its exit code."""
        docker("stop", "--time", str(STOP_SECONDS), self.name)
        return int(inspected(self.name)["State"]["ExitCode"])


@contextmanager
def running(image: str, environment: Mapping[str, str], config: Path, network: str) -> Iterator[Container]:
    """Run a gateway until it listens, with the settings in `config`."""
    variables = {"IMAGE_GATEWAY_CONFIG": "/etc/image-gateway", **environment}
    options = [option for name, value in variables.items() for option in ("--env", f"{name}={value}")]
    mount = ("--volume", f"{config}:/etc/image-gateway:ro")
    published = ("--network", network, "--publish", f"127.0.0.1::{PORT}")
    container = Container(docker("run", "--detach", *HARDENED, *published, *mount, *options, image))
    try:
        container.await_logged("listening")
        yield container
    finally:
        docker("rm", "--force", "--volumes", container.name)
