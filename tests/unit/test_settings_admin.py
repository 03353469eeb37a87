"""The admin key: where it comes from, and which ones are refused."""

import secrets
from pathlib import Path

import pytest

from service.domain.team_access import key_digest
from service.settings.admin_key import find_weakness, read_admin_digest
from service.settings.secret_sources import Secret, header_safe
from service.settings.yaml_file import SettingsError

GOOD = "f3a91c5e7b2d48066c9e1f07a5d3b84290cd6e15f7a83b2c"

WEAK = [
    ("", "at least 32"),
    ("   ", "at least 32"),
    ("k3Zp9", "at least 32"),
    (GOOD[:31], "at least 32"),
    ("a" * 32, "follows a pattern"),
    ("ab" * 20, "follows a pattern"),
    ("f3a91c5e" * 4, "follows a pattern"),
    ("f3a91c5e7b2d4806" * 2 + "f3a9", "follows a pattern"),
    ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", "follows a pattern"),
    ("zyxwvutsrqponmlkjihgfedcbazyxwvu", "follows a pattern"),
    ("1111112222223333334444445555556666667777", "follows a pattern"),
    ("0123456789abcdef0123456789abcdef", "contains '0123456789'"),
    ("changeme-f3a91c5e7b2d48066c9e1f07", "contains 'changeme'"),
    ("CHANGE_ME_f3a91c5e7b2d48066c9e1f07", "contains 'change_me'"),
    ("MyPassword-f3a91c5e7b2d48066c9e1f07", "contains 'password'"),
    ("super-secret-f3a91c5e7b2d48066c9e1f", "contains 'secret'"),
    ("admin-f3a91c5e7b2d48066c9e1f07a5d3b8", "contains 'admin'"),
    ("example-f3a91c5e7b2d48066c9e1f07a5d3", "contains 'example'"),
    ("f3a91c5e 7b2d4806 6c9e1f07 a5d3b842", "without spaces"),
    ("f3a91c5e7b2d48066c9e1f07a5d3b842é", "of ASCII"),
]


def digest(environment: dict[str, str]) -> str:
    secret = read_admin_digest(environment)
    assert secret
    return secret.current()


def test_without_a_key_there_is_none() -> None:
    assert read_admin_digest({}) is None


@pytest.mark.parametrize(
    "key",
    [GOOD, f" {GOOD}\n", secrets.token_urlsafe(32), secrets.token_hex(16)],
    ids=["long", "padded", "urlsafe", "hex"],
)
def test_a_good_key_is_known_by_its_digest(key: str) -> None:
    assert digest({"ADMIN_API_KEY": key, "ADMIN_API_KEY_FILE": ""}) == key_digest(key.strip())


@pytest.mark.parametrize(("key", "reason"), WEAK)
def test_a_key_that_could_be_guessed_stops_the_start(key: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        read_admin_digest({"ADMIN_API_KEY": key})

    assert str(refused.value).startswith("ADMIN_API_KEY: ")
    assert not key.strip() or key.strip() not in str(refused.value)


@pytest.mark.parametrize(("key", "reason"), [(key, reason) for key, reason in WEAK if key.strip()])
def test_so_does_one_in_a_file(tmp_path: Path, key: str, reason: str) -> None:
    file = tmp_path / "key"
    file.write_text(key)

    with pytest.raises(SettingsError, match=reason) as refused:
        read_admin_digest({"ADMIN_API_KEY_FILE": str(file)})

    assert str(refused.value).startswith("ADMIN_API_KEY_FILE: ")


def test_a_key_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{GOOD}\n")

    assert digest({"ADMIN_API_KEY_FILE": str(file)}) == key_digest(GOOD)


def test_the_key_of_something_else_is_refused() -> None:
    others = [Secret("VENDOR", key, header_safe) for key in ("sk-operator", GOOD)]
    with pytest.raises(SettingsError, match="ADMIN_API_KEY: is already the key of something else") as refused:
        read_admin_digest({"ADMIN_API_KEY": GOOD}, others)

    assert GOOD not in str(refused.value)


def test_neither_becomes_the_other_while_running(tmp_path: Path) -> None:
    admins, vendors = tmp_path / "admin", tmp_path / "vendor"
    admins.write_text(GOOD)
    vendors.write_text("sk-operator")
    vendor = Secret("VENDOR", vendors, header_safe)
    admin = read_admin_digest({"ADMIN_API_KEY_FILE": str(admins)}, [vendor])
    assert admin

    vendors.write_text(f"{GOOD}\n")
    assert vendor.reload() == f"VENDOR: {vendors}: is the admin key as well"
    vendors.write_text(GOOD[::-1])
    assert vendor.reload() is True
    admins.write_text(GOOD[::-1])
    assert str(admin.reload()).startswith(f"ADMIN_API_KEY_FILE: {admins}: is already the key of something else")
    assert (vendor.current(), admin.current()) == (GOOD[::-1], key_digest(GOOD))


@pytest.mark.parametrize(("body", "reason"), [(None, "No such file or directory"), (b"\xff\xfe", "not a text")])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, body: bytes | None, reason: str) -> None:
    file = tmp_path / "key"
    if body:
        file.write_bytes(body)

    with pytest.raises(SettingsError) as refused:
        read_admin_digest({"ADMIN_API_KEY_FILE": str(file)})

    assert str(refused.value) == f"ADMIN_API_KEY_FILE: {file}: cannot be read: {reason}"


def test_two_keys_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ADMIN_API_KEY_FILE: stands beside ADMIN_API_KEY"):
        read_admin_digest({"ADMIN_API_KEY": GOOD, "ADMIN_API_KEY_FILE": str(tmp_path)})


def test_what_the_advice_makes_is_good() -> None:
    assert all(find_weakness(secrets.token_hex(32)) is None for _ in range(200))
