"""Admin API on a separate port: each port serves one API, and no request of a caller reaches the other one."""

import http.client
import re
import secrets
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest

from tests.e2e.test_process import DIGEST, SECRET, command, generate
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess

ADMIN = secrets.token_hex(32)
NO_KEY: Mapping[str, str] = {}
OPERATOR = {"authorization": f"Bearer {ADMIN}"}
OWN = ("/health/live", "/health/ready", "/docs", "/openapi.yaml")
CALLERS = (
    ("GET", "/v1/models"),
    ("GET", "/v1/models/gpt-image-2"),
    ("GET", "/v1/usage"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/images/edits"),
    ("GET", "/v1/images/img_x.png"),
    ("POST", "/v1/files"),
    ("GET", "/v1/v1/models"),
    ("GET", "/metrics"),
)
OPERATORS = (
    ("GET", "/admin/v1/keys"),
    ("POST", "/admin/v1/keys"),
    ("DELETE", "/admin/v1/keys/key_0"),
    ("PATCH", "/admin/v1/keys/key_0"),
    ("GET", "/admin/v1/teams"),
    ("GET", "/admin/v1/usage"),
    ("DELETE", "/admin/v1/cache"),
    ("GET", "/admin/v1"),
    ("GET", "/admin"),
)
SPELLINGS = (
    "/{plane}",
    "//{plane}",
    "///{plane}//",
    "/./{plane}",
    "/x/../{plane}",
    "/{other}/../{plane}",
    "/{other}/../../{plane}",
    "/{other}/..%2f{plane}",
    "/{other}/%2e%2e/{plane}",
    "/{other}//{plane}",
    "/{plane};a=b",
    "/;/{plane}",
    "/{other};/../{plane}",
    "/{plane}%00",
    "/{plane}/",
    "/{plane}?x=/{other}",
    "/{plane}%3f",
    "/{plane}#{other}",
    "/health/../{plane}",
    "/docs/..//{plane}",
    "/{encoded}",
    "/%2f{encoded}",
    "/{twice}",
    "/{upper}",
    "/{back}",
    "http://localhost/{plane}",
    "http://localhost//{plane}",
)
"""Spellings of a path on the other port that proxies and routers read in different ways."""


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[GatewayProcess]:
    """A gateway whose admin API has a separate port."""
    environment = {"IMAGE_GATEWAY_CONFIG": str(config), "ADMIN_API_KEY": ADMIN, "ADMIN_PORT": "0"}
    with GatewayProcess(tmp_path_factory.mktemp("parted"), environment) as gateway:
        yield gateway


def admin_address(gateway: GatewayProcess) -> str:
    """Return the address of the admin port."""
    return str(gateway.await_logged("listening")["admin"]).removesuffix("/admin/v1")


def raw(address: str, method: str, target: str, headers: Mapping[str, str] = NO_KEY) -> tuple[int, dict[str, str], str]:
    """Send a request with an unchanged target. The id is removed from the response."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host="host" in headers)
        for name, value in {"content-length": "0", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        reply = connection.getresponse()
        received = {name.lower(): value for name, value in reply.getheaders()}
        assert received.pop("x-request-id")
        received.pop("date")
        return reply.status, received, reply.read().decode()
    finally:
        connection.close()


def unknown(address: str, method: str, target: str, headers: Mapping[str, str] = NO_KEY) -> None:
    """Check that the response equals that of an unknown path, with no word, header or challenge that differs."""
    status, reply_headers, body = raw(address, method, target, headers)
    expected = raw(address, method, "/nowhere", headers)
    assert status == 404, (target, body)
    assert re.sub(r"nothing at \S+ .*?\. This", "nothing at X. This", body) == re.sub(
        r"nothing at \S+ .*?\. This", "nothing at X. This", expected[2]
    )
    reply_headers.pop("content-length")
    expected[1].pop("content-length")
    assert reply_headers == expected[1]


def test_each_port_serves_its_own_api(parted: GatewayProcess) -> None:
    admin = admin_address(parted)
    assert admin != parted.url
    assert raw(admin, "GET", "/admin/v1/keys", OPERATOR)[0] == 200
    assert raw(admin, "GET", "/admin/v1/keys")[0] == 401
    assert raw(admin, "GET", "/admin/v1/keys", parted.headers)[0] == 401
    assert raw(parted.url, "GET", "/v1/models", parted.headers)[0] == 200


@pytest.mark.parametrize(("method", "path"), OPERATORS)
@pytest.mark.parametrize("headers", [NO_KEY, OPERATOR, {"authorization": "Bearer no"}], ids=["nobody", "admin", "no"])
def test_the_callers_port_has_no_admin_api(
    parted: GatewayProcess, method: str, path: str, headers: Mapping[str, str]
) -> None:
    unknown(parted.url, method, path, headers)


@pytest.mark.parametrize(("method", "path"), CALLERS)
def test_the_admin_port_generates_no_images(parted: GatewayProcess, method: str, path: str) -> None:
    for headers in (NO_KEY, OPERATOR, parted.headers):
        unknown(admin_address(parted), method, path, headers)


@pytest.mark.parametrize("path", OWN)
def test_health_and_docs_are_on_both_ports(parted: GatewayProcess, path: str) -> None:
    for address in (parted.url, admin_address(parted)):
        assert raw(address, "GET", path)[0] == 200


def test_each_port_describes_its_own_paths(parted: GatewayProcess, http: httpx2.Client) -> None:
    def described(address: str) -> set[str]:
        return set(msgspec.yaml.decode(http.get(f"{address}/openapi.yaml").content)["paths"])

    callers, operators = described(parted.url), described(admin_address(parted))
    assert callers & operators == {"/health/live", "/health/ready"}
    assert not any(path.startswith("/admin") for path in callers)
    assert not any(path.startswith("/v1") for path in operators)
    published = msgspec.yaml.decode((Path(__file__).parents[2] / "openapi" / "openapi.yaml").read_bytes())
    assert callers | operators == set(published["paths"])
    assert "/admin/v1" not in http.get(f"{parted.url}/docs").text
    assert "/admin/v1/keys" in http.get(f"{admin_address(parted)}/docs").text


def respell(spelling: str, path: str, other: str) -> str:
    plane = path.removeprefix("/")
    encoded = plane.replace("/", "%2F")
    return spelling.format(
        plane=plane,
        other=other.removeprefix("/"),
        encoded=encoded,
        twice=encoded.replace("%", "%25"),
        upper=plane.upper(),
        back=plane.replace("/", "\\"),
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_path_reaches_the_other_port(parted: GatewayProcess, spelling: str) -> None:
    """The request has the key of the other port, whose own port answers 200."""
    admin = admin_address(parted)
    to_admin = respell(spelling, "/admin/v1/keys", "/v1")
    to_callers = respell(spelling, "/v1/models", "/admin/v1")
    assert raw(parted.url, "GET", to_admin, OPERATOR)[0] in {400, 404}
    assert raw(admin, "GET", to_callers, parted.headers)[0] in {400, 404}


def test_some_spellings_reach_a_path_on_its_own_port(parted: GatewayProcess) -> None:
    """Some spellings are routed as the plain path: they reach it on its own port."""
    read = [
        spelling
        for spelling in SPELLINGS
        if raw(admin_address(parted), "GET", respell(spelling, "/admin/v1/keys", "/v1"), OPERATOR)[0] == 200
    ]
    assert {"/{plane}", "//{plane}", "/{plane}/", "/{encoded}"} <= set(read)


@pytest.mark.parametrize("name", ["host", "x-forwarded-host", "x-forwarded-port", "forwarded", "x-original-url"])
def test_no_header_reaches_the_other_port(parted: GatewayProcess, name: str) -> None:
    admin = admin_address(parted)
    for here, there, path, headers in (
        (parted.url, admin, "/admin/v1/keys", OPERATOR),
        (admin, parted.url, "/v1/models", parted.headers),
    ):
        place = urlsplit(there)
        value = {
            "x-forwarded-port": str(place.port),
            "forwarded": f'host="{place.netloc}";proto=http',
            "x-original-url": path,
        }.get(name, place.netloc)
        assert raw(here, "GET", path, {**headers, name: value})[0] == 404
        assert raw(there, "GET", path, {**headers, name: urlsplit(here).netloc})[0] == 200


def test_a_connection_stays_on_its_port(parted: GatewayProcess) -> None:
    """Requests on one connection, one after another or pipelined."""
    place = urlsplit(parted.url)
    head = f"Host: x\r\nAuthorization: Bearer {ADMIN}\r\n"
    asked = f"GET /health/live HTTP/1.1\r\n{head}\r\nGET /admin/v1/keys HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=30) as connection:
        connection.sendall(asked.encode())
        with connection.makefile("rb") as answers:
            statuses = re.findall(rb"HTTP/1\.1 (\d+)", answers.read())
    assert statuses == [b"200", b"404"]


@pytest.mark.parametrize(("host", "admin_host"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1"), ("::1", "::1")])
def test_ports_listen_on_ipv4_and_ipv6(tmp_path: Path, config: Path, host: str, admin_host: str) -> None:
    environment = {"IMAGE_GATEWAY_CONFIG": str(config), "ADMIN_API_KEY": ADMIN, "ADMIN_PORT": "0"}
    with GatewayProcess(
        tmp_path, {**environment, "ADMIN_HOST": admin_host, "HOST": host, "METRICS_PORT": "0"}
    ) as gateway:
        listening = gateway.await_logged("listening")
        own, admin, metrics = (
            f"http://{f'[{at}]' if ':' in at else at}:{urlsplit(str(listening[name])).port}"
            for name, at in (("address", host), ("admin", admin_host), ("metrics", host))
        )
        assert raw(admin, "GET", "/admin/v1/keys", OPERATOR)[0] == 200
        assert raw(own, "GET", "/v1/models", gateway.headers)[0] == 200
        assert b"gateway_build_info" in httpx2.get(f"{metrics}/metrics", trust_env=False).content
        unknown(own, "GET", "/admin/v1/keys", OPERATOR)
        unknown(admin, "GET", "/v1/models", gateway.headers)
        unknown(admin, "GET", "/metrics")


def test_without_an_admin_key_the_admin_port_is_not_opened(tmp_path: Path, config: Path) -> None:
    with GatewayProcess(tmp_path, {"IMAGE_GATEWAY_CONFIG": str(config), "ADMIN_PORT": "0"}) as gateway:
        assert gateway.await_logged("listening")["admin"] == ""


def test_both_ports_serve_until_the_last_call_is_finished(
    tmp_path: Path, teams: Path, openai_sim: Simulator, http: httpx2.Client
) -> None:
    text = (teams / "gateway.yaml").read_text().replace("grace_seconds: 5", "grace_seconds: 3600")
    (teams / "gateway.yaml").write_text(text)
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(teams),
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": openai_sim.base_url,
        "ADMIN_API_KEY": ADMIN,
        "ADMIN_PORT": "0",
    }
    openai_sim.answer(Answer(hold=True))
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        admin = admin_address(gateway)
        replies: list[httpx2.Response] = []
        caller = threading.Thread(target=lambda: replies.append(generate(gateway, "first")))
        caller.start()
        openai_sim.await_in_flight(1)
        gateway.signal()
        for address in (gateway.url, admin):
            ready = http.get(f"{address}/health/ready")
            assert (ready.status_code, ready.json()["problems"]) == (503, {"gateway": "is shutting down"})
        assert http.get(f"{admin}/admin/v1/keys", headers=OPERATOR).status_code == 200
        gateway.signal(signal.SIGINT)
        openai_sim.release()
        caller.join()
        assert [reply.status_code for reply in replies] == [200]
        assert gateway.wait() == 0
        assert SECRET not in "".join(gateway.lines)


@pytest.fixture
def teams(tmp_path: Path, config: Path) -> Path:
    """Settings with a team."""
    folder: Path = shutil.copytree(config, tmp_path / "config")
    (folder / "teams.yaml").write_text(f"teams: {{a: {{keys: [{{id: k, sha256: {DIGEST}}}]}}}}")
    return folder


@pytest.mark.parametrize("name", ["ADMIN_PORT", "METRICS_PORT"])
def test_a_taken_port_is_refused_before_any_store_is_started(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command("serve", "--dev", "--port", "0", "--data-dir", str(tmp_path), environment={name: port})
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert not list(tmp_path.glob("valkey")), "nothing was started"
