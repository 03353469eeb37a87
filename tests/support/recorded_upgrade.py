"""Stores that gateways of an older revision left behind, loaded for a test with the times of today.

`python -m tools.record_upgrade` writes `tests/recorded/<revision>/<database>`: the database as SQL, the store and the
responses in `recording.json`, and the folder of images.

Rule: times become times of today, in the database and in the store. Encoded values in the store keep their times.
"""

import asyncio
import base64
import json
import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from service.domain.team_access import key_digest
from tests.support.images import png

RECORDED = Path(__file__).parents[1] / "recorded"
SECOND, DAY = 1_000_000, 86_400_000_000
SIGNING_KEY = "0123456789abcdef" * 2
SECRET, OTHER_SECRET = "igw_search", "igw_ads"
AUTHORIZED = {"authorization": f"Bearer {SECRET}"}
TEAMS = f"""teams:
  search:
    limits: {{usd_per_day: 50, usd_per_month: 900, requests_per_minute: 60, images_per_minute: 60}}
    keys: [{{id: search, sha256: {key_digest(SECRET)}}}]
  ads:
    keys: [{{id: ads, sha256: {key_digest(OTHER_SECRET)}}}]
"""
"""Team of the recorded calls: `search`."""
UPLOADED = png()
PLAIN = {"model": "gpt-image-2", "quality": "low", "size": "1024x1024", "output_format": "webp"}
REQUESTS: Mapping[str, dict[str, Any]] = {
    "cached": PLAIN,
    "finished": PLAIN,
    "linked": PLAIN | {"response_format": "url"},
    "failed": PLAIN,
    "retried": PLAIN,
    "limited": PLAIN | {"model": "gpt-image-1-mini"},
    "refused": {"model": "black-forest-labs/FLUX.2-pro"},
    "waiting": PLAIN,
    "lost": PLAIN,
    "unknown": PLAIN,
    "pending": PLAIN,
}
"""Recorded calls, by name: their fields beside the prompt, which is the name."""
OF_A_KEY = ("finished", "linked", "failed", "unknown")
NOT_SHARED = ("finished", "linked", "failed", "retried", "pending")


def build_request(name: str, tries: int = 0) -> dict[str, Any]:
    """Return body and headers of a recorded call. `tries` is the number of the SDK's earlier tries."""
    headers = AUTHORIZED | {"x-stainless-retry-count": str(tries)}
    if name in OF_A_KEY:
        headers |= {"idempotency-key": name}
    if name in NOT_SHARED:
        headers |= {"cache-control": "no-store"}
    return {"json": {"prompt": name, **REQUESTS[name]}, "headers": headers}


@dataclass(frozen=True)
class Recording:
    """A recorded upgrade in its folder."""

    folder: Path

    @cached_property
    def answers(self) -> dict[str, Any]:
        """Responses of the calls, by name, and further observations."""
        answers: dict[str, Any] = self._document["answers"]
        return answers

    @property
    def images(self) -> Path:
        """Folder of images."""
        return self.folder / "images"

    @property
    def store(self) -> dict[str, Any]:
        """Recorded values of all keys."""
        return {key: record["value"] for key, record in self._document["store"].items()}

    @property
    def used_today(self) -> int:
        """Costs and holds of the team, in nano-USD."""
        state = self.store["igw:{search}:state"]
        return next(int(value) for name, value in state.items() if re.fullmatch(r"day:\d+:team", name))

    @property
    def request_ids(self) -> set[str]:
        """Ids of all requests with an entry in the database or in the outbox."""
        outbox = (fields["entry"] for fields in self.store["igw:{search}:outbox"].values())
        statements = (self.folder / "database.sql").read_text("utf-8").splitlines()
        inserts = (line for line in statements if re.match(r"INSERT INTO \S*entries", line))
        return set(re.findall(r"req_[0-9a-f]{32}", "\n".join((*outbox, *inserts))))

    def fill_database(self, url: str) -> None:
        """Fill a database without tables."""
        statements = self._as_of_now((self.folder / "database.sql").read_text("utf-8"))
        if url.startswith("sqlite"):
            file = Path(url.removeprefix("sqlite:///"))
            file.parent.mkdir(exist_ok=True)
            with closing(sqlite3.connect(file)) as database:
                database.executescript(statements)
        else:
            asyncio.run(_execute(url, statements))

    def restore_store(self, store: Any) -> None:
        """Fill an empty store. The store then has the epoch of the counters."""
        text = self._as_of_now(json.dumps(self._document["store"]))
        text = text.replace(self._document["run_id"], store.info("server")["run_id"])
        for key, record in json.loads(text).items():
            _restore(store, key, record["type"], record["value"])
            if record["milliseconds"] > 0:
                store.pexpire(key, record["milliseconds"])

    @cached_property
    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "recording.json").read_text("utf-8"))
        return document

    def _as_of_now(self, text: str) -> str:
        ended, now = int(self._document["ended"] * SECOND), int(time.time() * SECOND)
        today = now // DAY

        def moved(match: re.Match[str]) -> str:
            at = int(match[0])
            near = abs(at - ended) < 3 * DAY
            return str(max(at - ended + now, today * DAY)) if near else match[0]

        text = re.sub(r"\b\d{16}\b", moved, text)
        text = re.sub(rf"\b{ended // DAY}\b", str(today), text)
        return re.sub(rf"\b{_month(ended)}\b", _month(now), text)


def collect_forms(hashes: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the fields of holds and flights, and of their JSON, by the form of their keys and their state."""
    forms: dict[str, set[str]] = {}
    for key, fields in hashes.items():
        form = re.sub(r"\{\w+\}|[0-9a-f]{32,64}", "*", key) + f" {fields['state']}"
        documents = ((name, json.loads(fields[name])) for name in ("entry", "failure") if fields.get(name))
        inner = {f"{name}.{field}" for name, document in documents for field in document}
        forms[form] = forms.get(form, set()) | set(fields) | inner
    return forms


async def _execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


def _month(at: int) -> str:
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%Y%m}"


def _restore(store: Any, key: str, kind: str, value: Any) -> None:
    match kind:
        case "string":
            store.set(key, _to_bytes(value))
        case "hash":
            store.hset(key, mapping={name: _to_bytes(field) for name, field in value.items()})
        case "set":
            store.sadd(key, *value)
        case "zset":
            store.zadd(key, {name: float(score) for name, score in value.items()})
        case "stream":
            for ticket, fields in value.items():
                store.xadd(key, fields, id=ticket)
        case _:
            raise AssertionError(kind)


def _to_bytes(value: Any) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
