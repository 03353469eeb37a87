"""A real PgBouncer in front of a PostgreSQL. Without one a test fails: CONTRIBUTING.md names the package.

Rule: it listens on a unix socket in its own folder, forwards every database, and requires no password. In transaction
mode it has two server sessions per database, so transactions of a connection change sessions.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.gateway import becomes_true

SESSIONS = {"transaction": 2, "session": 10, "statement": 2}
PORT = 6432
SETTINGS = """[databases]
* = {server}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
max_client_conn = 200
ignore_startup_parameters = {ignored}
"""
ROOT = 0


class PgBouncer:
    """Pooler of a server in a folder. Tests can stop it and start it again."""

    def __init__(self, server: str, folder: Path, mode: str, ignored: str) -> None:
        self.url = f"postgresql://postgres@{urlsplit(server).path}?host={folder}&port={PORT}"
        self._socket = folder / f".s.PGSQL.{PORT}"
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            SETTINGS.format(
                server=_connection(server),
                port=PORT,
                folder=folder,
                mode=mode,
                sessions=SESSIONS[mode],
                ignored=ignored,
            )
        )
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        assert program, "apt-get install -y --no-install-recommends pgbouncer"
        self._command = [program, "--quiet", str(settings)]
        if os.geteuid() == ROOT:  # PgBouncer refuses to run as this user
            other = pwd.getpwnam(_reader(server))
            for path in (folder, settings):
                os.chown(path, other.pw_uid, other.pw_gid)
            self._command[1:1] = ["-u", other.pw_name]
        self.start()

    def start(self) -> None:
        """Start to listen."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        assert becomes_true(self._socket.exists)

    def stop(self) -> None:
        """Disconnect all clients and end."""
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)


@contextmanager
def pgbouncer(server: str, mode: str = "transaction", ignored: str = "extra_float_digits") -> Iterator[PgBouncer]:
    """Run a pooler in this mode, in front of the server at this address."""
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        pooler = PgBouncer(server, Path(name), mode, ignored)
        try:
            yield pooler
        finally:
            pooler.stop()


def _reader(server: str) -> str:
    """Return a user that may open the server's socket."""
    folder = parse_qs(urlsplit(server).query).get("host", [""])[0]
    return Path(folder).owner() if folder.startswith("/") else "nobody"


def _connection(url: str) -> str:
    """Convert an address to PgBouncer's form, without the name of the database."""
    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    known = {
        "host": parts.hostname or options.get("host"),
        "port": parts.port or options.get("port"),
        "user": parts.username or options.get("user"),
        "password": unquote(parts.password) if parts.password else None,
    }
    return " ".join(f"{name}={value}" for name, value in known.items() if value)
