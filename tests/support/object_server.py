"""Object store for the suite: moto, which speaks S3 over HTTP, in a separate process.

Rule: a server that does not start fails the run. Tests can freeze it, so that a hanging store is tried on the real
protocol.
"""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import boto3  # type: ignore[import-untyped]

from tests.support.gateway import clean_environment

TIMEOUT_SECONDS = 30
NUMBERS = count(1)
CREDENTIALS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_REGION": "us-east-1",
}


class ObjectServer:
    """A running server."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"],
            env=clean_environment(COVERAGE_PROCESS_CONFIG=""),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._known = threading.Event()
        self.url = ""
        threading.Thread(target=self._read, daemon=True).start()
        if not self._known.wait(TIMEOUT_SECONDS) or not self.url:
            raise TimeoutError("the object store did not start")

    def _read(self) -> None:
        """Read the output to its end, because a full pipe would stop the server."""
        assert self._child.stderr is not None
        with self._child.stderr as output:
            for line in output:
                address = re.search(r"http://127\.0\.0\.1:\d+", line)
                if address and not self.url:
                    self.url = address[0]
                    self._known.set()
        self._known.set()

    def environment(self) -> dict[str, str]:
        """Build the environment of a client."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def new_bucket(self) -> str:
        """Make an empty bucket."""
        name = f"pictures-{next(NUMBERS)}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self) -> Any:
        """Build another client of the protocol, to check the gateway's writes."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=CREDENTIALS["AWS_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the server within a block: it neither answers nor disconnects."""
        self._child.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._child.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the server."""
        self._child.kill()
        self._child.wait(TIMEOUT_SECONDS)


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Run a server for the length of a block."""
    server = ObjectServer()
    try:
        yield server
    finally:
        server.stop()
