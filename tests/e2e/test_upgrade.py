"""An upgrade from 852ba53: today's gateway runs on the database, the store and the folder that 852ba53 left.

`tests/recorded/852ba53` has them (`tools/record_upgrade.py`). The last gateway of 852ba53 was killed during three
calls: two had been sent, one was fetching a reference. A test ends a lease in the store instead of waiting for it. The
tests share one gateway for each kind of database, and no test changes another's data.
"""

import csv
import io
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from service.adapters.embedded_valkey import run_valkey
from tests.e2e.replicas import EVER
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess, becomes_true, clean_environment, run_command, with_slow_stores
from tests.support.recorded_upgrade import (
    AUTHORIZED,
    OTHER_SECRET,
    RECORDED,
    SECOND,
    SIGNING_KEY,
    TEAMS,
    UPLOADED,
    Recording,
    build_request,
    collect_forms,
)
from tests.support.servers import real_redis

pytest_plugins = ["tests.support.databases"]

NewDatabase = Callable[[str], str]
ROOT = Path(__file__).parents[2]
ADMIN = secrets.token_hex(32)
CHANGES = {
    "gateway.yaml": {
        "grace_seconds: 5": "grace_seconds: 0",
        "# public_url: https": "public_url: https",
        "sweep_seconds: 5 #": "sweep_seconds: 0.1 #",
    },
    "models.yaml": {"shutdown_date: 2026-12-01": "shutdown_date: 2999-12-01"},
}


@dataclass(frozen=True)
class Upgraded:
    """Today's gateway on the data of a gateway of 852ba53, and the store."""

    gateway: GatewayProcess
    recording: Recording
    store: Any

    def ask(self, name: str, tries: int = 0) -> httpx2.Response:
        """Make a recorded call once more."""
        return httpx2.post(f"{self.gateway.url}/v1/images/generations", **build_request(name, tries), timeout=60)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return httpx2.get(self.gateway.url + path, headers=AUTHORIZED | headers)

    def end_leases(self, key: str) -> None:
        """End the leases of a key that their leader no longer extends."""
        ended = int(time.time() * SECOND) - 1
        if self.store.type(key) == b"zset":
            self.store.zadd(key, dict.fromkeys(self.store.zrange(key, 0, -1), ended), xx=True)
        else:
            self.store.hset(key, "lease", ended)

    def hashes_of_ads(self) -> dict[str, dict[str, str]]:
        """Return the holds and the flights of a team that 852ba53 did not know."""
        keys = [key for kind in ("hold", "flight") for key in self.store.scan_iter(match=f"igw:{{ads}}:{kind}:*")]
        return {
            key.decode(): {name.decode(): value.decode("latin-1") for name, value in self.store.hgetall(key).items()}
            for key in keys
        }

    def entries(self) -> list[dict[str, str]]:
        """Return all entries of the ledger."""
        address = f"{self.gateway.url}/admin/v1/export?format=csv&{EVER}"
        exported = httpx2.get(address, headers={"authorization": f"Bearer {ADMIN}"}).raise_for_status().text
        return list(csv.DictReader(io.StringIO(exported, newline="")))

    def ended_state(self, hold: str) -> str:
        """Return the state of a hold that has ended."""
        ((name, state),) = self.store.hgetall(f"igw:{{search}}:hold:{hold}").items()
        assert name == b"state"
        return str(state.decode())

    def spent(self) -> tuple[int, int]:
        """Return what usage says was spent, and what the day's budget says is used, in nano-USD."""
        answer = self.get(f"/v1/usage?{EVER}").json()
        (used,) = [limit["used"] for limit in answer["limits"] if limit["measure"] == "usd_per_day"]
        return round(answer["total"]["cost_usd"] * 1e9), round(used * 1e9)


def copy_settings(folder: Path) -> Path:
    """Copy the shipped settings, changed for these tests."""
    ignored = shutil.ignore_patterns("grafana", "prometheus")
    settings = shutil.copytree(ROOT / "config", folder / "config", ignore=ignored)
    for name, changes in CHANGES.items():
        text = with_slow_stores((settings / name).read_text())
        for was, becomes in changes.items():
            assert was in text, was
            text = text.replace(was, becomes)
        (settings / name).write_text(text)
    (settings / "teams.yaml").write_text(TEAMS)
    return settings


def open_recording(kind: str) -> Recording:
    return Recording(RECORDED / "852ba53" / kind)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def upgraded(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    empty_database: NewDatabase,
    openai_server: Simulator,
    together_server: Simulator,
) -> Iterator[Upgraded]:
    folder, recording = tmp_path_factory.mktemp("upgraded"), open_recording(request.param)
    database = empty_database(request.param)
    recording.fill_database(database)
    shutil.copytree(recording.images, folder / "images", copy_function=shutil.copyfile)  # with today's times
    with real_redis(folder) as redis_url, redis.Redis.from_url(redis_url) as store:
        recording.restore_store(store)
        environment = {
            "IMAGE_GATEWAY_CONFIG": str(copy_settings(folder)),
            "OPENAI_API_KEY": "sk-operator",
            "OPENAI_BASE_URL": openai_server.base_url,
            "TOGETHER_API_KEY": "tgp-operator",
            "TOGETHER_BASE_URL": together_server.base_url,
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "STORAGE_URL": str(folder / "images"),
            "URL_SIGNING_KEY": SIGNING_KEY,
            "ADMIN_API_KEY": ADMIN,
        }
        with GatewayProcess(folder / "data", environment, options=()) as gateway:
            yield Upgraded(gateway, recording, store)


def test_open_holds_end_once_and_their_money_counts(upgraded: Upgraded) -> None:
    """The sent holds are booked at their quotes, the pending one is released. All earlier costs still count."""
    recorded = upgraded.recording.store
    holds = {hold: recorded[f"igw:{{search}}:hold:{hold}"] for hold in recorded["igw:{search}:holds"]}
    sent = {hold: int(fields["quote"]) for hold, fields in holds.items() if fields["state"] == "sent"}
    (pending,) = [int(fields["quote"]) for fields in holds.values() if fields["state"] == "pending"]
    used = upgraded.recording.used_today
    (waiting,) = recorded["igw:{search}:outbox"].values()
    assert becomes_true(lambda: upgraded.spent()[0] == used - sum(sent.values()) - pending)
    assert upgraded.spent()[1] == used

    upgraded.end_leases("igw:{search}:holds")

    assert becomes_true(lambda: upgraded.spent() == (used - pending, used - pending))
    entries = upgraded.entries()
    booked = {entry["hold_id"]: round(float(entry["cost_usd"]) * 1e9) for entry in entries if entry["status"] == "lost"}
    assert booked == sent
    assert [entry["hold_id"] for entry in entries].count(json.loads(waiting["entry"])["hold_id"]) == 1
    assert upgraded.recording.request_ids <= {entry["request_id"] for entry in entries}
    ended = {(fields["state"], upgraded.ended_state(hold)) for hold, fields in holds.items()}
    assert ended == {("sent", "expired"), ("pending", "voided")}


def test_a_lone_replica_continues_in_its_data_folder(tmp_path: Path, openai_sim: Simulator) -> None:
    """Its Valkey starts again, so the counters are rebuilt: from the ledger, the outbox and the holds."""
    data, recording = tmp_path / "data", open_recording("sqlite")
    recording.fill_database(f"sqlite:///{data / 'ledger.db'}")
    shutil.copytree(recording.images, data / "pictures", copy_function=shutil.copyfile)
    (data / "signing-key").write_text(SIGNING_KEY)
    with run_valkey(data / "valkey") as redis_url, redis.Redis.from_url(redis_url) as store:
        recording.restore_store(store)
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(copy_settings(tmp_path)),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_sim.base_url,
    }
    with GatewayProcess(data, environment, options=()) as gateway:
        replica = Upgraded(gateway, recording, None)
        assert replica.ask("finished").text == recording.answers["finished"]["body"]
        assert httpx2.get(gateway.url + recording.answers["signed"]).status_code == 200
        assert becomes_true(lambda: replica.spent()[1] == recording.used_today)
    assert openai_sim.requests == []


def test_settings_that_852ba53_shipped_are_refused_with_the_new_names_alone(tmp_path: Path) -> None:
    """Its `gateway.yaml` is valid today but for renamed keys, and `check` names each of them."""
    settings = copy_settings(tmp_path)
    shutil.copyfile(RECORDED / "852ba53" / "gateway.yaml", settings / "gateway.yaml")
    done = run_command("check", environment=clean_environment(IMAGE_GATEWAY_CONFIG=str(settings)))
    problems = done.stderr.splitlines()
    assert done.returncode == 2
    assert len(problems) == 22
    assert [problem for problem in problems if not re.search(r"`[\w.]+` is called .* now$", problem)] == []


@pytest.mark.parametrize("name", ["finished", "linked"])
def test_an_idempotency_key_replays_the_reply(upgraded: Upgraded, openai_sim: Simulator, name: str) -> None:
    reply = upgraded.ask(name)
    assert (reply.status_code, reply.text) == (200, upgraded.recording.answers[name]["body"])
    assert (reply.headers["idempotent-replayed"], reply.headers["x-gateway-cache"]) == ("true", "replayed")
    assert openai_sim.requests == []


def test_an_idempotency_key_replays_the_failure(upgraded: Upgraded, openai_sim: Simulator) -> None:
    first, reply = upgraded.recording.answers["failed"], upgraded.ask("failed")
    code = json.loads(first["body"])["error"]["code"]
    assert (reply.status_code, reply.json()["error"]["code"]) == (first["status"], code)
    assert reply.headers["idempotent-replayed"] == "true"
    assert openai_sim.requests == []


def test_holds_and_flights_of_today_have_the_fields_that_852ba53_reads(
    upgraded: Upgraded, openai_sim: Simulator
) -> None:
    """Both versions may run side by side, so no field is renamed or removed. Fields of a newer form are added."""
    recorded = {key: fields for key, fields in upgraded.recording.store.items() if re.search(":(hold|flight):", key)}
    known, headers = collect_forms(recorded), {"authorization": f"Bearer {OTHER_SECRET}"}

    def ask(key: str, **more: str) -> int:
        request = build_request("finished")["json"]
        answer = httpx2.post(
            f"{upgraded.gateway.url}/v1/images/generations",
            json=request,
            headers=headers | {"idempotency-key": key} | more,
            timeout=60,
        )
        return answer.status_code

    openai_sim.answer(Answer(hold=True), Answer(fault="close_mid_body"))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, "today")
        openai_sim.await_requests(1)
        under_way = collect_forms(upgraded.hashes_of_ads())
        openai_sim.release(1)
        assert call.result() == 200
    assert ask("today-failed", **{"cache-control": "no-store"}) == 502
    over = collect_forms(upgraded.hashes_of_ads())

    assert under_way.keys() == {"igw:*:hold:* sent", "igw:*:flight:* sent", "igw:*:flight:key-* sent"}
    assert over.keys() == {"igw:*:hold:* posted", "igw:*:flight:* landed", "igw:*:flight:key-* landed"}
    for form, fields in (under_way | over).items():
        assert known[form] <= fields, form


@pytest.mark.parametrize("name", ["lost", "unknown"])
def test_a_generation_that_was_under_way_is_not_repeated(upgraded: Upgraded, openai_sim: Simulator, name: str) -> None:
    """`unknown` came with an Idempotency-Key, `lost` without one."""
    for key, fields in upgraded.recording.store.items():
        if ":flight:" in key and fields["state"] == "sent":
            upgraded.end_leases(key)
    reply = upgraded.ask(name)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "purchase_unconfirmed")
    assert openai_sim.requests == []


@pytest.mark.parametrize(("name", "source"), [("cached", "hit"), ("waiting", "hit"), ("retried", "joined")])
def test_a_finished_generation_is_not_repeated(
    upgraded: Upgraded, openai_sim: Simulator, name: str, source: str
) -> None:
    """The result comes from the cache, and for an SDK that retries."""
    reply = upgraded.ask(name, tries=1 if name == "retried" else 0)
    assert (reply.status_code, reply.headers["x-gateway-cache"]) == (200, source)
    assert reply.json()["data"] == json.loads(upgraded.recording.answers[name]["body"])["data"]
    assert openai_sim.requests == []


def test_a_vendor_that_refused_the_key_stays_blocked(upgraded: Upgraded, together_sim: Simulator) -> None:
    reply = upgraded.ask("refused")
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_auth_error")
    assert together_sim.requests == []


def test_an_account_with_an_exhausted_limit_stays_blocked(upgraded: Upgraded, openai_sim: Simulator) -> None:
    reply = upgraded.ask("limited")
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert openai_sim.requests == []


def test_an_issued_key_is_accepted(upgraded: Upgraded) -> None:
    secret = next(line.split()[1] for line in upgraded.recording.answers["issued"].splitlines() if "igw_" in line)
    assert upgraded.get("/v1/models", authorization=f"Bearer {secret}").status_code == 200
    assert upgraded.get("/v1/models", authorization="Bearer igw_other").status_code == 401


def test_images_are_served_under_their_urls_and_ids(upgraded: Upgraded) -> None:
    signed = upgraded.recording.answers["signed"]
    address = httpx2.get(upgraded.gateway.url + signed)
    assert address.content == (upgraded.recording.images / Path(signed).name.partition("?")[0]).read_bytes()
    assert httpx2.get(upgraded.gateway.url + signed[:-1] + "x").status_code == 404
    for path in upgraded.recording.images.glob("img_*"):
        assert upgraded.get(f"/v1/files/{path.stem}/content").content == path.read_bytes()


def test_an_uploaded_file_is_listed_described_and_deleted(upgraded: Upgraded) -> None:
    file = upgraded.recording.answers["uploaded"]
    assert [listed["id"] for listed in upgraded.get("/v1/files").json()["data"]] == [file["id"]]
    changed = {"created_at": 0, "expires_at": 0}  # the copy was written just now
    assert upgraded.get(f"/v1/files/{file['id']}").json() | changed == file | changed
    assert upgraded.get(f"/v1/files/{file['id']}/content").content == UPLOADED
    address = f"{upgraded.gateway.url}/v1/files/{file['id']}"
    assert httpx2.delete(address, headers=AUTHORIZED).json() == {"id": file["id"], "object": "file", "deleted": True}
    assert upgraded.get(f"/v1/files/{file['id']}/content").status_code == 404
    assert upgraded.get("/v1/files").json()["data"] == []
