"""A server of this process's that hangs for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def frozen_server(folder: Path) -> Iterator[None]:
    """Within the block the server whose files are in `folder` takes connections and says nothing."""
    (server,) = (child for child in psutil.Process().children() if Path(child.cwd()) == folder)
    server.suspend()
    try:
        yield
    finally:
        server.resume()
