"""A server of this process that hangs for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def frozen_server(folder: Path) -> Iterator[None]:
    """Freeze the server whose files are in `folder` within a block: it accepts connections and does not answer."""
    (server,) = (child for child in psutil.Process().children() if Path(child.cwd()) == folder)
    server.suspend()
    try:
        yield
    finally:
        server.resume()
