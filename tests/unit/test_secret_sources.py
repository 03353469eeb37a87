"""Secrets from variables and files: reading, refusals, and the effect of a changed file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings.secret_sources import MAX_BYTES, Secret, read_secret, signing_keys, single_line
from service.settings.yaml_file import SettingsError
from tests.support.mounted_secrets import Mount

UNUSABLE: list[tuple[bytes, str]] = [
    (b"", "is empty"),
    (b" \r\n\n", "is empty"),
    (b"\xff\xfesk", "cannot be read: not a text"),
    (b"sk-\x00hush", "has control characters in it"),
    (b"sk-\thush", "has control characters in it"),
    (b"sk-\x1b[0mhush", "has control characters in it"),
    ("sk-\x85hush".encode(), "has control characters in it"),
    (b"sk-hush\nsk-more", "has more than one line"),
    (b"x" * (MAX_BYTES + 1), f"is longer than {MAX_BYTES} bytes"),
]


def of_file(file: Path, make: Callable[[str], str] = single_line) -> Secret[str]:
    return Secret("KEY_FILE", file, make)


def test_a_variable_or_a_file() -> None:
    assert read_secret({}, "KEY", single_line) is None
    assert read_secret({"KEY": "  ", "KEY_FILE": ""}, "KEY", single_line) is None
    secret = read_secret({"KEY": " sk-one\n"}, "KEY", single_line)
    assert secret
    assert (secret.current(), secret.name, secret.file, secret.reload()) == ("sk-one", "KEY", None, False)


def test_a_file_counts_without_the_space_around_it(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"  sk-one \r\n\n")
    secret = read_secret({"KEY": "", "KEY_FILE": str(file)}, "KEY", single_line)
    assert secret
    assert (secret.current(), secret.name, secret.file) == ("sk-one", "KEY_FILE", file)
    assert "sk-one" not in repr(secret)


def test_both_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^KEY_FILE: stands beside KEY; give one of them$"):
        read_secret({"KEY": "sk", "KEY_FILE": str(tmp_path)}, "KEY", single_line)


@pytest.mark.parametrize(("body", "reason"), UNUSABLE, ids=range(len(UNUSABLE)))
def test_what_cannot_be_used_is_refused_at_the_start_and_later(tmp_path: Path, body: bytes, reason: str) -> None:
    file, later = tmp_path / "key", tmp_path / "later"
    file.write_bytes(body)
    later.write_text("sk-good")
    secret = of_file(later)
    with pytest.raises(SettingsError) as refused:
        of_file(file)
    assert str(refused.value) == f"KEY_FILE: {file}: {reason}"

    file.replace(later)
    assert secret.reload() == f"KEY_FILE: {later}: {reason}"
    assert secret.reload() is False
    assert secret.current() == "sk-good"


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Path.touch, "No such file or directory"), (Path.mkdir, "not a file"), (os.mkfifo, "not a file")],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    file = tmp_path / "key"
    make(file)
    if file.is_file():
        file.unlink()
    with pytest.raises(SettingsError, match=f"^KEY_FILE: {file}: cannot be read: {reason}$"):
        of_file(file)


def test_a_swapped_link_is_another_secret(tmp_path: Path) -> None:
    mount = Mount(tmp_path, key="sk-one")
    secret = of_file(mount / "key")
    assert secret.reload() is False
    mount.swap(key="sk-two")
    assert (secret.current(), secret.reload(), secret.current(), secret.reload()) == ("sk-one", True, "sk-two", False)
    mount.swap(key="sk-two\n")
    assert secret.reload() is False


def test_a_file_that_goes_and_comes_back_is_told_each_time(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-one")
    secret = of_file(file)
    file.unlink()
    assert secret.reload() == f"KEY_FILE: {file}: cannot be read: No such file or directory"
    assert secret.current() == "sk-one"
    file.write_text("sk-one")
    assert secret.reload() is True


def test_who_knows_more_may_refuse_now_and_later(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-one")
    secret, taken = of_file(file), Secret("OTHER", "sk-two", single_line)
    secret.reject_if(lambda digests: "is taken" if digests & taken.digests else None)
    with pytest.raises(SettingsError, match=f"^KEY_FILE: {file}: is not liked$"):
        secret.reject_if(lambda _: "is not liked")
    file.write_text("sk-two")
    secret = of_file(file)
    with pytest.raises(SettingsError, match="is taken"):
        secret.reject_if(lambda digests: "is taken" if digests & taken.digests else None)


def test_keys_for_links_are_a_line_each(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first, second = "a" * 32, "b" * 40
    file.write_text(f"{first}\r\n\n {second}\n")
    assert Secret("KEYS", file, signing_keys).current() == (first.encode(), second.encode())
    swapped = Secret("KEYS", file, signing_keys)
    file.write_text(f"{second}\n{first} \n")
    assert (swapped.reload(), swapped.current()[0]) == (True, second.encode())
    file.write_text(f"{first}\nshort\n")
    assert str(swapped.reload()).startswith(f"KEYS: {file}: must be at least 32 characters")
