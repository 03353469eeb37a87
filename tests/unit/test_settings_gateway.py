"""Settings of the gateway: the file, the environment that overrides it, and refused values."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from service.domain.circuit_breaker import BreakerRules
from service.domain.team_access import key_digest
from service.settings.backend_settings import AccountLimits, HealthSection, HttpBackendEntry
from service.settings.gateway import GatewaySettings, read_gateway
from service.settings.gateway_file import (
    ImagesSection,
    LogsSection,
    ReferenceImagesSection,
    RequestsSection,
    RoutingSection,
    SandboxSection,
    ServingSection,
)
from service.settings.storage_url import ImageFolder
from service.settings.yaml_file import SettingsError

SHIPPED = Path(__file__).parents[2] / "config" / "gateway.yaml"
NOTHING: Mapping[str, str] = {}
ADMIN = "f3a91c5e7b2d48066c9e1f07a5d3b84290cd6e15"


def reading(folder: Path, text: str, environment: Mapping[str, str] = NOTHING) -> GatewaySettings:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return read_gateway(file, environment)


def current_keys(settings: GatewaySettings) -> dict[str, str]:
    """The vendors' keys as they are now."""
    return {name: key.current() for name, key in settings.api_keys.items()}


def vendor(**entries: object) -> str:
    """One backend, as text."""
    pairs = {"dialect": "openai", "base_url": "https://draw.test/v1", **entries}
    return "backends:\n  draw-house:\n" + "".join(f"    {name}: {value}\n" for name, value in pairs.items())


def test_the_shipped_file_says_the_defaults() -> None:
    settings = read_gateway(SHIPPED, NOTHING)

    assert (settings.sandbox, settings.requests, settings.reference_images) == (
        SandboxSection(),
        RequestsSection(),
        ReferenceImagesSection(),
    )
    assert (settings.images, settings.serving, settings.logs) == (ImagesSection(), ServingSection(), LogsSection())
    assert (settings.health, settings.routing) == (HealthSection(), RoutingSection())
    assert settings.http_backends == {
        "openai": HttpBackendEntry(
            dialect="openai", base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY"
        ),
        "together": HttpBackendEntry(
            dialect="together", base_url="https://api.together.xyz/v1", api_key_env="TOGETHER_API_KEY"
        ),
    }
    assert settings.api_keys == {}
    assert (settings.store_urls, settings.storage, settings.signing_keys) == ((), None, None)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "backends: {}\n"])
def test_everything_may_be_left_out(tmp_path: Path, text: str) -> None:
    settings = reading(tmp_path, text)

    assert (settings.http_backends, settings.requests, settings.sandbox) == ({}, RequestsSection(), SandboxSection())


def test_the_environment_says_where_and_with_which_secret() -> None:
    environment = {
        "OPENAI_API_KEY": " sk-operator\n",
        "TOGETHER_BASE_URL": "http://127.0.0.1:9000",
        "REDIS_URL": "redis://cache:6379/0",
        "STORAGE_URL": "file:///pictures",
        "URL_SIGNING_KEY": "k" * 32,
    }

    settings = read_gateway(SHIPPED, environment)

    assert current_keys(settings) == {"openai": "sk-operator"}
    assert settings.http_backends["together"].base_url == "http://127.0.0.1:9000/v1"
    assert settings.http_backends["openai"].base_url == "https://api.openai.com/v1"
    assert [address.current() for address in settings.store_urls] == ["redis://cache:6379/0"]
    assert settings.storage == ImageFolder(Path("/pictures"))
    assert settings.signing_keys
    assert settings.signing_keys.current() == (b"k" * 32,)


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_key_switches_nothing_on(empty: str) -> None:
    assert read_gateway(SHIPPED, {"OPENAI_API_KEY": empty, "TOGETHER_API_KEY": empty}).api_keys == {}


def test_an_empty_address_is_none() -> None:
    settings = read_gateway(SHIPPED, {"REDIS_URL": "", "STORAGE_URL": "", "OPENAI_BASE_URL": ""})

    assert (settings.redis_url, settings.storage) == (None, None)
    assert settings.http_backends["openai"].base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://draw.test", "https://draw.test/v1"),
        ("https://draw.test/", "https://draw.test/v1"),
        ("https://draw.test/v1", "https://draw.test/v1"),
        ("https://draw.test/v1/", "https://draw.test/v1"),
        ("http://[::1]:8080/proxy/openai", "http://[::1]:8080/proxy/openai"),
    ],
)
def test_a_base_url_ends_in_a_path_without_a_slash(tmp_path: Path, url: str, used: str) -> None:
    in_file = reading(tmp_path, vendor(base_url=url))
    in_environment = reading(tmp_path, vendor(), {"DRAW_HOUSE_BASE_URL": url})

    assert in_file.http_backends["draw-house"].base_url == used
    assert in_environment.http_backends["draw-house"].base_url == used


def test_blanks_around_an_address_of_the_environment_do_not_count(tmp_path: Path) -> None:
    settings = reading(tmp_path, vendor(), {"DRAW_HOUSE_BASE_URL": " https://draw.test/v1\n"})

    assert settings.http_backends["draw-house"].base_url == "https://draw.test/v1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://draw .test/v1", "an address has no blanks"),
        ("https://draw.test/v1\t/x", "an address has no blanks"),
        ("https://user:hidden@draw.test/v1", "must not hold a user name or password"),
        ("https://user:hid/den@draw.test/v1", "must not hold a user name or password"),
        ("socks5://draw.test", "'socks5://draw.test' is not an http or https address"),
    ],
)
def test_an_address_of_the_environment_is_blamed_by_its_variable(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"^DRAW_HOUSE_BASE_URL: .*{words}") as refused:
        reading(tmp_path, vendor(), {"DRAW_HOUSE_BASE_URL": url})
    assert "hid" not in str(refused.value)


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sk-from-file\n")
    text = vendor(api_key_env="DRAW_KEY")

    assert current_keys(reading(tmp_path, vendor(api_key_file=secret))) == {"draw-house": "sk-from-file"}
    assert current_keys(reading(tmp_path, text + f"    api_key_file: {secret}\n", {"DRAW_KEY": " "})) == {
        "draw-house": "sk-from-file"
    }
    assert current_keys(reading(tmp_path, text, {"DRAW_KEY_FILE": str(secret)})) == {"draw-house": "sk-from-file"}


def test_a_secret_that_is_given_twice_stops_the_start(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sk-from-file\n")

    with pytest.raises(SettingsError, match=r"^DRAW_KEY_FILE: stands beside DRAW_KEY; give one of them$"):
        reading(tmp_path, vendor(api_key_env="DRAW_KEY"), {"DRAW_KEY": "sk-other", "DRAW_KEY_FILE": str(secret)})
    for variable, text in (("DRAW_KEY", "sk-other"), ("DRAW_KEY_FILE", str(secret))):
        with pytest.raises(SettingsError, match=rf"\.api_key_file: stands beside {variable}; give one of them$"):
            reading(tmp_path, vendor(api_key_env="DRAW_KEY", api_key_file=secret), {variable: text})


@pytest.mark.parametrize("key", ["sk with space", "sk-\nsk", "sk-é"])
def test_a_key_that_no_header_can_carry_stops_the_start(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match=r"^DRAW_KEY: ") as refused:
        reading(tmp_path, vendor(api_key_env="DRAW_KEY"), {"DRAW_KEY": key})
    assert key not in str(refused.value)


def test_a_backend_without_a_way_to_a_secret_is_off(tmp_path: Path) -> None:
    settings = reading(tmp_path, vendor())

    assert (list(settings.http_backends), settings.api_keys) == (["draw-house"], {})


def test_settings_show_no_secret(tmp_path: Path) -> None:
    environment = {"DRAW_KEY": "sk-secret", "URL_SIGNING_KEY": "sk-secret" * 4, "REDIS_URL": "redis://:sk-secret@r/0"}

    settings = reading(tmp_path, vendor(api_key_env="DRAW_KEY"), environment)

    assert repr(settings) == "GatewaySettings(vendors=['draw-house'], on=['draw-house'])"


VENDOR = "$.backends.draw-house"

WRONG_VENDORS: list[tuple[dict[str, object], str, str]] = [
    ({"base_url": "ftp://draw.test"}, f"{VENDOR}.base_url", "'ftp://draw.test' is not an http or https address"),
    ({"base_url": "' https://draw.test'"}, f"{VENDOR}.base_url", "an address has no blanks and no control characters"),
    ({"base_url": "https://u:hidden@draw.test"}, f"{VENDOR}.base_url", "an address here must not hold a user name"),
    ({"base_url": "draw.test/v1"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "https://"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "https:///v1"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "'http://[::1'"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "https://draw.test:0/v1"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "https://draw.test:99999/v1"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "https://draw.test:https/v1"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "https://draw.test/v1?key=1"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"base_url": "'https://draw.test/v1#top'"}, f"{VENDOR}.base_url", "is not an http or https address"),
    ({"dialect": "french"}, f"{VENDOR}.dialect", "Invalid enum value 'french'"),
    ({"api_key": "sk-secret"}, VENDOR, "Object contains unknown field `api_key`"),
    ({"deadline_seconds": 0}, f"{VENDOR}.deadline_seconds", "Expected `float` >= 0.0"),
    ({"deadline_seconds": -1}, f"{VENDOR}.deadline_seconds", "Expected `float` >= 0.0"),
    ({"deadline_seconds": ".nan"}, f"{VENDOR}.deadline_seconds", "Expected `float` >= 0.0"),
    ({"deadline_seconds": "1e309"}, f"{VENDOR}.deadline_seconds", "Expected `float` <= 86400"),
    ({"max_concurrent_calls": 0}, f"{VENDOR}.max_concurrent_calls", "Expected `int` >= 1"),
    ({"max_concurrent_calls": 1.5}, f"{VENDOR}.max_concurrent_calls", "Expected `int`, got `float`"),
    ({"connect_seconds": 0}, f"{VENDOR}.connect_seconds", "Expected `float` >= 0.0"),
    ({"connect_seconds": ".nan"}, f"{VENDOR}.connect_seconds", "Expected `float` >= 0.0"),
    ({"connect_seconds": 61}, f"{VENDOR}.connect_seconds", "Expected `float` <= 60"),
    ({"account": "{concurrent: 0}"}, f"{VENDOR}.account.concurrent", "Expected `int` >= 1"),
    ({"account": "{requests_per_minute: -1}"}, f"{VENDOR}.account.requests_per_minute", "Expected `int` >= 1"),
    ({"account": "{images_per_minute: 1.5}"}, f"{VENDOR}.account.images_per_minute", "got `float`"),
    ({"account": "{images_per_minute: 1000001}"}, f"{VENDOR}.account.images_per_minute", "<= 1000000"),
    ({"account": "{tokens_per_minute: 1}"}, f"{VENDOR}.account", "unknown field `tokens_per_minute`"),
    ({"headers": "{x: 1}"}, f"{VENDOR}.headers[...]", "Expected `str`, got `int`"),
    ({"relay_image_urls": "sometimes"}, f"{VENDOR}.relay_image_urls", "Expected `bool`, got `str`"),
]

WRONG_SECTIONS = [
    ("backends: {sandbox: {dialect: openai, base_url: 'https://x.test'}}", "$.backends.sandbox", "section of its own"),
    ("backends: {x: {dialect: openai}}", "$.backends.x", "Object missing required field `base_url`"),
    ("backends: []", "$.backends", "Expected `object`, got `array`"),
    ("requests: {max_json_bytes: 0}", "$.requests.max_json_bytes", "Expected `int` >= 1"),
    ("requests: {max_form_bytes: -1}", "$.requests.max_form_bytes", "Expected `int` >= 1"),
    ("requests: {max_image_bytes: 1.5}", "$.requests.max_image_bytes", "Expected `int`, got `float`"),
    ("requests: {idle_seconds: .nan}", "$.requests.idle_seconds", "Expected `float` >= 0.0"),
    ("requests: {body_seconds: 0}", "$.requests.body_seconds", "Expected `float` >= 0.0"),
    ("requests: {min_bytes_per_second: -1}", "$.requests.min_bytes_per_second", "Expected `float` >= 0"),
    ("requests: {idle_seconds: 1e309}", "$.requests.idle_seconds", "Expected `float` <= 86400"),
    ("requests: {idle_second: 1}", "$.requests", "Object contains unknown field `idle_second`"),
    ("redis: {timeout_seconds: .nan}", "$.redis.timeout_seconds", ">= 0.01"),
    ("redis: {timeout_seconds: 0}", "$.redis.timeout_seconds", ">= 0.01"),
    ("reference_images: {timeout_seconds: 0}", "$.reference_images.timeout_seconds", "Expected `float` >= 0.0"),
    ("reference_images: {allow_ports: [https]}", "$.reference_images.allow_ports[0]", "Expected `int`, got `str`"),
    ("images: {link_seconds: 0}", "$.images.link_seconds", "Expected `int` >= 1"),
    ("images: {keep_seconds: 3599}", "$.images.keep_seconds", "3599 is less than link_seconds"),
    ("images: {sweep_seconds: 0}", "$.images.sweep_seconds", "Expected `float` >= 0.0"),
    ("images: {keep: some}", "$.images.keep", "Invalid enum value 'some'"),
    ("images: {public_url: images.test}", "$.images.public_url", "'images.test' is not an http or https address"),
    ("sandbox: {delay_seconds: -1}", "$.sandbox.delay_seconds", "Expected `float` >= 0"),
    ("sandbox: {delay_seconds: .nan}", "$.sandbox.delay_seconds", "Expected `float` >= 0"),
    ("serving: {grace_seconds: -1}", "$.serving.grace_seconds", "Expected `float` >= 0"),
    ("serving: {drain_seconds: .inf}", "$.serving.drain_seconds", "Expected `float` <= 86400"),
    ("health: {consecutive_failures: 0}", "$.health.consecutive_failures", "Expected `int` >= 1"),
    ("health: {min_calls: 1.5}", "$.health.min_calls", "got `float`"),
    ("health: {failure_ratio: 0}", "$.health.failure_ratio", "Expected `float` >= 0.0"),
    ("health: {failure_ratio: 1.01}", "$.health.failure_ratio", "Expected `float` <= 1"),
    ("health: {window_seconds: .nan}", "$.health.window_seconds", "Expected `float` >= 0.0"),
    ("health: {window_seconds: 86401}", "$.health.window_seconds", "Expected `float` <= 86400"),
    ("health: {open_seconds: 0}", "$.health.open_seconds", "Expected `float` >= 0.0"),
    ("health: {open_seconds: 61}", "$.health.open_seconds", "61.0 is more than max_open_seconds"),
    ("health: {max_open_seconds: 4}", "$.health.open_seconds", "5.0 is more than max_open_seconds"),
    ("health: {max_blocked_seconds: .inf}", "$.health.max_blocked_seconds", "Expected `float` <= 86400"),
    ("health: {probe: 1}", "$.health.probe", "Expected `bool`"),
    ("logs: {prompts: maybe}", "$.logs.prompts", "Expected `bool`, got `str`"),
    ("logs: {prompts: true, prompts: false}", "line 1, column 23", 'found duplicate key "prompts"'),
    ("log: {}", "$", "Object contains unknown field `log`"),
]


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [(vendor(**entries), place, reason) for entries, place, reason in WRONG_VENDORS] + WRONG_SECTIONS,
    ids=range(len(WRONG_VENDORS + WRONG_SECTIONS)),
)
def test_a_wrong_value_stops_the_start_with_its_place(tmp_path: Path, text: str, place: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, text)

    assert str(refused.value).startswith(f"{tmp_path / 'gateway.yaml'}: {place}: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "text", ["serving: {grace_seconds: 0, drain_seconds: 0}", "images: {public_url: 'https://images.test'}"]
)
def test_what_is_unusual_but_right_is_accepted(tmp_path: Path, text: str) -> None:
    assert reading(tmp_path, text).http_backends == {}


def test_an_account_may_have_caps(tmp_path: Path) -> None:
    settings = reading(tmp_path, vendor(account="{concurrent: 20, images_per_minute: 250}", connect_seconds=2))

    entry = settings.http_backends["draw-house"]
    assert (entry.account, entry.connect_seconds) == (AccountLimits(concurrent=20, images_per_minute=250), 2)


def test_health_is_by_the_rules_of_the_domain() -> None:
    rules = BreakerRules()
    assert {name: getattr(HealthSection(), name) for name in BreakerRules.__dataclass_fields__} == {
        name: getattr(rules, name) for name in BreakerRules.__dataclass_fields__
    }
    assert {*HealthSection.__struct_fields__} == {*BreakerRules.__dataclass_fields__, "probe"}


def test_a_wrong_address_in_the_environment_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^DRAW_HOUSE_BASE_URL: 'nonsense' is not an http"):
        reading(tmp_path, vendor(), {"DRAW_HOUSE_BASE_URL": "nonsense"})


@pytest.mark.parametrize(("body", "reason"), [(None, "No such file or directory"), (b"\xff\xfe", "not a text")])
def test_a_secret_that_cannot_be_read_stops_the_start(tmp_path: Path, body: bytes | None, reason: str) -> None:
    secret = tmp_path / "secret"
    if body:
        secret.write_bytes(body)

    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, vendor(api_key_file=secret))

    assert (
        str(refused.value) == f"{tmp_path / 'gateway.yaml'}: {VENDOR}.api_key_file: {secret}: cannot be read: {reason}"
    )


@pytest.mark.parametrize("key", ["", "k" * 31])
def test_a_short_signing_key_stops_the_start(key: str) -> None:
    with pytest.raises(SettingsError, match="URL_SIGNING_KEY: must be at least 32 characters"):
        read_gateway(SHIPPED, {"URL_SIGNING_KEY": key})


def test_the_admin_key_is_known_by_its_digest() -> None:
    settings = read_gateway(SHIPPED, {"ADMIN_API_KEY": ADMIN})

    assert settings.admin_digest
    assert settings.admin_digest.current() == key_digest(ADMIN)
    assert ADMIN not in repr(settings)


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "URL_SIGNING_KEY"])
def test_a_secret_that_has_a_job_is_no_admin_key(variable: str) -> None:
    with pytest.raises(SettingsError, match="ADMIN_API_KEY: is already the key of something else"):
        read_gateway(SHIPPED, {"ADMIN_API_KEY": ADMIN, variable: ADMIN})


@pytest.mark.parametrize("name", ["REDIS_URL", "CACHE_REDIS_URL"])
@pytest.mark.parametrize("url", ["localhost:6379", "http://cache:6379", "redis://:hush@", "redis://:hush@cache:six"])
def test_what_is_no_address_of_a_store_is_refused_and_not_repeated(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: (not an address|cannot be read)") as refused:
        read_gateway(SHIPPED, {name: url})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("url", ["unix:///run/valkey.sock", "rediss://cache", "redis+cluster://one:7000"])
def test_every_kind_of_store_is_taken(url: str) -> None:
    assert [address.current() for address in read_gateway(SHIPPED, {"REDIS_URL": url}).store_urls] == [url]
