"""Addresses of stores and their passwords: whole or in parts, and the parts that may change."""

from pathlib import Path

import pytest
from redis import Redis

from service.settings.store_urls import read_database_url, read_redis_url, with_password
from service.settings.yaml_file import SettingsError

STRANGE = "p/w@:#%? é"


def test_a_whole_address_may_lie_in_a_file_and_change_its_user_and_password(tmp_path: Path) -> None:
    file = tmp_path / "uri"
    file.write_text("postgresql://app_1:one@db-rw:5432/app?sslmode=require\n")
    secret = read_database_url({"DATABASE_URL_FILE": str(file)})
    assert secret
    file.write_text("postgresql://app_2:two@db-rw:5432/app?sslmode=require\n")
    assert (secret.reload(), secret.current()) == (True, "postgresql://app_2:two@db-rw:5432/app?sslmode=require")


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
    secret = read_redis_url({"CACHE_REDIS_URL_FILE": str(file)}, "CACHE_REDIS_URL")
    assert secret
    file.write_text(other)
    assert secret.reload() == (
        f"CACHE_REDIS_URL_FILE: {file}: names another place; while running only user and password may change"
    )
    assert secret.current() == "redis://:one@cache:6379/0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cache:6379", "not an address"),
        ("redis:hush", "not an address"),
        ("redis://:hush@cache:six", "cannot be read; signs"),
        ("redis://:hush@[cache", "cannot be read; signs"),
    ],
)
def test_an_address_in_a_file_is_looked_at_like_any(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "url"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"^REDIS_URL_FILE: {file}: {words}") as refused:
        read_redis_url({"REDIS_URL_FILE": str(file)}, "REDIS_URL")
    assert "hush" not in str(refused.value)


def test_an_address_of_the_ledger_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: cannot be read; signs such as / and @") as refused:
        read_database_url({"DATABASE_URL": "postgresql://app:hush@[db/app"})
    assert "hush" not in str(refused.value)


def test_a_password_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("one\n")
    secret = read_redis_url({"REDIS_URL": "redis://app@cache:6379/0", "REDIS_PASSWORD_FILE": str(file)}, "REDIS_URL")
    assert secret
    assert (secret.current(), secret.name) == ("redis://app:one@cache:6379/0", "REDIS_PASSWORD_FILE")
    file.write_text(STRANGE)
    assert secret.reload() is True
    arguments = Redis.from_url(secret.current()).get_connection_kwargs()
    assert (arguments["username"], arguments["password"], arguments["host"]) == ("app", STRANGE, "cache")


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
        ({}, "stands without DATABASE_URL, which has the server and the user of the password"),
        ({"DATABASE_URL": "postgresql://app:hush@db/app"}, "stands beside DATABASE_URL, which holds a password"),
        (
            {"DATABASE_URL": "postgresql://app@db/app?password=hush"},
            "stands beside DATABASE_URL, which holds a password",
        ),
        ({"DATABASE_URL_FILE": "{uri}"}, "stands beside DATABASE_URL_FILE, which holds a password"),
        ({"DATABASE_URL": "sqlite:///ledger.db"}, "stands beside DATABASE_URL, which names no server"),
    ],
)
def test_a_password_belongs_to_an_address_without_one(tmp_path: Path, environment: dict[str, str], reason: str) -> None:
    uri, password = tmp_path / "uri", tmp_path / "password"
    uri.write_text("postgresql://app@db/app")
    password.write_text("one")
    variables = {name: text.format(uri=uri) for name, text in environment.items()}
    with pytest.raises(SettingsError, match=f"^DATABASE_PASSWORD_FILE: {reason}") as refused:
        read_database_url({"DATABASE_PASSWORD_FILE": str(password), **variables})
    assert "hush" not in str(refused.value)


SPLIT = ["pa/hush", "5432/hush", "p#hush", "p?hush=1", "p@hush/x", "[hush", "p@hush?x", "#hush", "/hush"]
HINT = "cannot be read; signs such as / and @ in a password have to be written as %2F and %40$"


@pytest.mark.parametrize("password", [*SPLIT, "p@hush"])
@pytest.mark.parametrize("rest", ["@db/app", "@db:5432/app", "@db"])
def test_no_part_of_a_password_of_the_ledger_is_repeated(password: str, rest: str) -> None:
    with pytest.raises(SettingsError, match=f"^DATABASE_URL: {HINT}") as refused:
        read_database_url({"DATABASE_URL": f"postgresql://app:{password}{rest}"})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("password", SPLIT)
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redis+cluster"])
@pytest.mark.parametrize("rest", ["@cache/0", "@cache:6379", "@/run/valkey.sock"])
def test_no_part_of_a_password_of_a_store_is_repeated(password: str, scheme: str, rest: str) -> None:
    with pytest.raises(SettingsError, match=f"^REDIS_URL: {HINT}") as refused:
        read_redis_url({"REDIS_URL": f"{scheme}://:{password}{rest}"}, "REDIS_URL")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql:", "postgres:", "mysql://", ""])
def test_an_address_of_another_kind_is_not_repeated(scheme: str) -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: has to begin with sqlite:/// or postgresql://$"):
        read_database_url({"DATABASE_URL": f"{scheme}app:hush@db/app"})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:p%2F%40%23%3F@one:5432,two:5433/app?sslmode=require",
        "postgresql+asyncpg://app@[::1]:5432/app",
        "postgres:///app?host=/run/app@1",
        "sqlite:////home/me@work/ledger.db",
    ],
)
def test_what_is_escaped_or_needs_no_escape_is_read(url: str) -> None:
    secret = read_database_url({"DATABASE_URL": url})
    assert secret
    assert secret.current() == url


@pytest.mark.parametrize(
    "url", ["unix:///run/a@b.sock?db=1", "redis://:p@ss@cache", "rediss+cluster://app:pw@one:7000"]
)
def test_a_store_that_is_told_from_its_password_is_read(url: str) -> None:
    secret = read_redis_url({"REDIS_URL": url}, "REDIS_URL")
    assert secret
    assert secret.current() == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://cache?colour=red", "the parameter 'colour' is not known"),
        ("redis+cluster://cache?colour=red", "the parameter 'colour' is not known"),
        ("unix:///run/valkey.sock?ssl=1", "the parameter 'ssl' is not known"),
        ("redis://cache?decode_responses=1", "the parameter 'decode_responses' is not known"),
        ("redis://cache?ssl_ca_certs=/ca.pem", "the parameter ssl_ca_certs needs an address that begins with rediss"),
        ("rediss://cache?ssl_ca_certs=/nowhere.pem", "ssl_ca_certs: the file /nowhere.pem cannot be read: No such"),
        ("redis://cache?db", r"what follows the \? is not name=value&name=value"),
        ("redis://cache/zero", "what follows the / is not the number of a database"),
    ],
)
@pytest.mark.parametrize("variable", ["REDIS_URL", "CACHE_REDIS_URL"])
def test_a_parameter_that_a_store_does_not_know_is_refused_by_name(variable: str, url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: {reason}"):
        read_redis_url({variable: url}, variable)


@pytest.mark.parametrize(
    ("parameters", "used"),
    [
        ("", ""),
        ("sslmode=require&channel_binding=require", "?sslmode=require"),
        ("connect_timeout=10", ""),
        ("keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3&gssencmode=disable", ""),
        ("application_name=images&tcp_user_timeout=9", "?application_name=images"),
        ("options=-c%20search_path%3Dx&sslsni=1", "?options=-c%20search_path%3Dx"),
        ("TimeZone=UTC&search_path=x", "?TimeZone=UTC&search_path=x"),
    ],
)
def test_parameters_of_libpq_are_honoured_or_ignored(parameters: str, used: str) -> None:
    address = "postgresql://app:pw@db/app"
    secret = read_database_url({"DATABASE_URL": f"{address}?{parameters}" if parameters else address})
    assert secret
    assert secret.current() == address + used


def test_the_authorities_of_the_system_are_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle := tmp_path / "ca.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    secret = read_database_url({"DATABASE_URL": "postgresql://db/app?sslrootcert=system"})
    assert secret
    assert secret.current() == f"postgresql://db/app?sslrootcert={str(bundle).replace('/', '%2F')}&sslmode=verify-full"


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("colour=red", "the parameter 'colour' is not known; a setting of the session goes into options=-c name=value"),
        ("sslmode=strict", "sslmode has to be one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=verify-full", "sslmode=verify-full needs an authority to check against: add sslrootcert=/file.pem"),
        ("sslmode=verify-ca", "sslmode=verify-ca needs an authority to check against"),
        (
            "sslmode=verify-full&sslrootcert=/nowhere.pem",
            "sslrootcert: the file /nowhere.pem cannot be read: No such file",
        ),
        ("sslmode=require&sslcert=/nowhere.pem", "sslcert: the file /nowhere.pem cannot be read: No such file"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system goes with sslmode=verify-full alone"),
        ("sslmode", r"what follows the \? is not name=value&name=value"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    parameters: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=f"^DATABASE_URL: {reason}") as refused:
        read_database_url({"DATABASE_URL": f"postgresql://app:hush@db/app?{parameters}"})
    assert "hush" not in str(refused.value)
