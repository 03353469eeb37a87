"""A gateway that is set up as its own backend does not start."""

import socket
from pathlib import Path

import pytest

from service.settings.gateway import GatewaySettings, read_gateway
from service.settings.self_call_check import check_no_self_call, matching_own_address
from service.settings.yaml_file import SettingsError

HOSTNAME = socket.gethostname()
PUBLIC = "https://images.example.com"


@pytest.mark.parametrize(
    ("url", "listening"),
    [
        ("http://127.0.0.1:8080/v1", ("127.0.0.1", 8080)),
        ("http://localhost:8080/v1", ("127.0.0.1", 8080)),
        ("http://LOCALHOST.:8080/v1", ("127.0.0.1", 8080)),
        ("http://127.0.0.1:8080/v1", ("localhost", 8080)),
        ("http://0.0.0.0:8080/v1", ("127.0.0.1", 8080)),
        ("http://[::ffff:127.0.0.1]:8080/v1", ("127.0.0.1", 8080)),
        ("http://localhost:8080/v1", ("0.0.0.0", 8080)),  # noqa: S104 (every interface is meant)
        ("http://127.0.0.7:8080/v1", ("0.0.0.0", 8080)),  # noqa: S104 (every interface is meant)
        (f"http://{HOSTNAME}:8080/v1", ("0.0.0.0", 8080)),  # noqa: S104 (every interface is meant)
        ("http://127.0.0.1:8080/v1", ("::", 8080)),
        ("http://127.0.0.1/v1", ("127.0.0.1", 80)),
        ("https://127.0.0.1/v1", ("127.0.0.1", 443)),
    ],
)
def test_an_own_address_is_found_under_every_name(url: str, listening: tuple[str, int]) -> None:
    assert (
        matching_own_address(url, [("127.0.0.1", 1), listening], None)
        == f"it listens on {listening[0]} port {listening[1]}"
    )


@pytest.mark.parametrize(
    ("url", "listening"),
    [
        ("http://127.0.0.1:8081/v1", ("127.0.0.1", 8080)),
        ("http://127.0.0.1:8081/v1", ("0.0.0.0", 8080)),  # noqa: S104 (every interface is meant)
        ("http://127.0.0.2:8080/v1", ("127.0.0.1", 8080)),
        ("http://192.0.2.1:8080/v1", ("0.0.0.0", 8080)),  # noqa: S104 (every interface is meant)
        ("http://nothing.invalid:8080/v1", ("0.0.0.0", 8080)),  # noqa: S104 (every interface is meant)
        ("https://api.openai.com/v1", ("127.0.0.1", 8080)),
    ],
)
def test_a_foreign_address_is_accepted(url: str, listening: tuple[str, int]) -> None:
    assert matching_own_address(url, [listening], PUBLIC) is None


def test_the_public_address_is_an_own_one() -> None:
    assert matching_own_address("https://Images.example.com:443/v1", [], PUBLIC) == f"images.public_url, {PUBLIC}"


FILE = """\
backends:
  openai: {dialect: openai, base_url: "http://127.0.0.1:8080/v1", api_key_env: OPENAI_API_KEY}
"""


def settings(folder: Path, **environment: str) -> GatewaySettings:
    (folder / "gateway.yaml").write_text(FILE)
    return read_gateway(folder / "gateway.yaml", {"OPENAI_API_KEY": "sk-1", **environment})


def test_the_file_or_the_variable_is_named(tmp_path: Path) -> None:
    file, variable = tmp_path / "gateway.yaml", {"OPENAI_BASE_URL": "http://localhost:9090/v1"}
    for environment, place in (({}, f"{file}: $.backends.openai.base_url"), (variable, "OPENAI_BASE_URL")):
        with pytest.raises(SettingsError) as refused:
            check_no_self_call(
                settings(tmp_path, **environment), file, environment, [("127.0.0.1", 8080), ("127.0.0.1", 9090)]
            )
        assert str(refused.value).startswith(f"{place}: http://")
        assert "is this gateway itself (it listens on 127.0.0.1 port" in str(refused.value)


def test_a_backend_that_is_off_may_be_anywhere(tmp_path: Path) -> None:
    off = settings(tmp_path, OPENAI_API_KEY="")
    check_no_self_call(off, tmp_path / "gateway.yaml", {}, [("127.0.0.1", 8080)])


def test_a_key_of_a_gateway_is_for_a_gateway(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(tmp_path, OPENAI_API_KEY="igw_0123456789")
    assert str(refused.value).startswith("OPENAI_API_KEY: is the key of a gateway (igw_…), not of a vendor; ")
    assert "0123456789" not in str(refused.value)

    file = tmp_path / "gateway.yaml"
    file.write_text(FILE.replace("dialect:", "gateway: true, dialect:"))
    assert set(read_gateway(file, {"OPENAI_API_KEY": "igw_0123456789"}).api_keys) == {"openai"}


def test_a_file_that_comes_to_hold_a_key_of_a_gateway_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-1")
    key = settings(tmp_path, OPENAI_API_KEY="", OPENAI_API_KEY_FILE=str(secret)).api_keys["openai"]
    secret.write_text("igw_0123456789")
    refusal = key.reload()
    assert isinstance(refusal, str)
    assert refusal.startswith(f"OPENAI_API_KEY_FILE: {secret}: is the key of a gateway")
    assert key.current() == "sk-1"
