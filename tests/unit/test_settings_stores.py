"""Addresses of stores and their passwords: whole or in parts, and what of them may change."""

from pathlib import Path

import pytest
from redis import Redis

from service.settings.files import SettingsError
from service.settings.stores import read_database, read_store, with_password

STRANGE = "p/w@:#%? é"


def test_a_whole_address_may_lie_in_a_file_and_change_its_user_and_password(tmp_path: Path) -> None:
    file = tmp_path / "uri"
    file.write_text("postgresql://app_1:one@db-rw:5432/app?sslmode=require\n")
    found = read_database({"DATABASE_URL_FILE": str(file)})
    assert found
    file.write_text("postgresql://app_2:two@db-rw:5432/app?sslmode=require\n")
    assert (found.look(), found()) == (True, "postgresql://app_2:two@db-rw:5432/app?sslmode=require")


@pytest.mark.parametrize(
    "other",
    [
        "redis://:hush@elsewhere:6379/0",
        "redis://:hush@cache:6380/0",
        "redis://:hush@cache:6379/1",
        "rediss://:hush@cache:6379/0",
        "redis://cache:6379/0",
    ],
)
def test_nothing_else_of_it_may_change(tmp_path: Path, other: str) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:one@cache:6379/0")
    found = read_store({"CACHE_REDIS_URL_FILE": str(file)}, "CACHE_REDIS_URL")
    assert found
    file.write_text(other)
    assert found.look() == (
        f"CACHE_REDIS_URL_FILE: {file}: names another place; while running only user and password may change"
    )
    assert found() == "redis://:one@cache:6379/0"


@pytest.mark.parametrize("text", ["cache:6379", "redis://:hush@cache:six", "redis://:hush@[cache"])
def test_an_address_in_a_file_is_looked_at_like_any(tmp_path: Path, text: str) -> None:
    file = tmp_path / "url"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"^REDIS_URL_FILE: {file}: not an address") as refused:
        read_store({"REDIS_URL_FILE": str(file)}, "REDIS_URL")
    assert "hush" not in str(refused.value)


def test_an_address_of_the_ledger_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: cannot be read; signs such as / and @") as refused:
        read_database({"DATABASE_URL": "postgresql://app:hush@[db/app"})
    assert "hush" not in str(refused.value)


def test_a_password_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("one\n")
    found = read_store({"REDIS_URL": "redis://app@cache:6379/0", "REDIS_PASSWORD_FILE": str(file)}, "REDIS_URL")
    assert found
    assert (found(), found.name) == ("redis://app:one@cache:6379/0", "REDIS_PASSWORD_FILE")
    file.write_text(STRANGE)
    assert found.look() is True
    kept = Redis.from_url(found()).get_connection_kwargs()
    assert (kept["username"], kept["password"], kept["host"]) == ("app", STRANGE, "cache")


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://cache", "redis://:pw@cache"),
        ("redis://:@cache:6379", "redis://:pw@cache:6379"),
        ("redis+cluster://app@one:7000", "redis+cluster://app:pw@one:7000"),
        ("unix:///run/valkey.sock?db=1", "unix://:pw@/run/valkey.sock?db=1"),
        ("postgresql://app@one:5432,two:5432/app", "postgresql://app:pw@one:5432,two:5432/app"),
        ("postgresql:///app?host=/run&user=app", "postgresql://:pw@/app?host=/run&user=app"),
    ],
)
def test_it_goes_where_the_clients_look_for_it(url: str, whole: str) -> None:
    assert with_password(url, "pw") == whole


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "stands without DATABASE_URL, which says where and for whom the password is"),
        ({"DATABASE_URL": "postgresql://app:hush@db/app"}, "stands beside DATABASE_URL, which holds a password"),
        (
            {"DATABASE_URL": "postgresql://app@db/app?password=hush"},
            "stands beside DATABASE_URL, which holds a password",
        ),
        ({"DATABASE_URL_FILE": "{uri}"}, "stands beside DATABASE_URL_FILE, which holds a password"),
        ({"DATABASE_URL": "sqlite:///ledger.db"}, "stands beside DATABASE_URL, which names no server"),
        ({"DATABASE_URL": "db/app"}, "stands beside DATABASE_URL, which names no server"),
    ],
)
def test_a_password_belongs_to_an_address_without_one(tmp_path: Path, environment: dict[str, str], reason: str) -> None:
    uri, password = tmp_path / "uri", tmp_path / "password"
    uri.write_text("postgresql://app@db/app")
    password.write_text("one")
    given = {name: text.format(uri=uri) for name, text in environment.items()}
    with pytest.raises(SettingsError, match=f"^DATABASE_PASSWORD_FILE: {reason}") as refused:
        read_database({"DATABASE_PASSWORD_FILE": str(password), **given})
    assert "hush" not in str(refused.value)
