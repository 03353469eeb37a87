"""Lists of the files that teams uploaded, and files that expire at the time that their callers set."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from service.domain.stored_images import UPLOADED, new_image_id, to_filename_key, to_stored_name
from tests.e2e.stored_image_calls import OTHERS, edit, generate_image, settings
from tests.support.gateway import GatewayProcess, becomes_true
from tests.support.images import png

HOUR = 3600
LENT = {"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": str(HOUR)}
SWEEPING = "images: {link_seconds: 60, keep_seconds: 7200, sweep_seconds: 0.1}"


@pytest.fixture
def gateway(tmp_path: Path, config: Path) -> Iterator[GatewayProcess]:
    """A gateway that stores images for two hours and sweeps all the time."""
    environment = {"IMAGE_GATEWAY_CONFIG": settings(tmp_path / "config", config, SWEEPING)}
    with GatewayProcess(tmp_path / "data", environment) as process:
        yield process


def upload_file(http: httpx2.Client, gateway: GatewayProcess, name: str = "fox.png", **form: str) -> dict[str, object]:
    reply = http.post(
        f"{gateway.url}/v1/files",
        data=form or {"purpose": "vision"},
        files={"file": (name, png())},
        headers=gateway.headers,
    )
    assert reply.status_code == 200, reply.text
    file: dict[str, object] = reply.json()
    return file


def listed(http: httpx2.Client, gateway: GatewayProcess, **query: object) -> httpx2.Response:
    return http.get(f"{gateway.url}/v1/files", params=query, headers=gateway.headers)  # type: ignore[arg-type]


def age(gateway: GatewayProcess, name: object, seconds: float) -> None:
    """Set the time of a stored file to the past."""
    at = time.time() - seconds
    (file,) = [path for path in (gateway.data / "pictures").glob(f"{name}.*") if path.suffix != ".name"]
    for path in (file, file.with_name(to_filename_key(file.name))):
        os.utime(path, (at, at))


def test_a_team_lists_its_uploads(http: httpx2.Client, gateway: GatewayProcess) -> None:
    empty = {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    assert listed(http, gateway).json() == empty
    generate_image(http, gateway)
    files = [upload_file(http, gateway, f"fox {number}.png") for number in range(3)]

    newest_first = listed(http, gateway).json()
    assert newest_first == empty | {
        "data": files[::-1],
        "first_id": files[2]["id"],
        "last_id": files[0]["id"],
    }
    assert listed(http, gateway, order="asc", purpose="vision").json()["data"] == files
    assert listed(http, gateway, purpose="batch").json() == empty
    page = listed(http, gateway, limit=2, after=files[2]["id"], order="desc").json()
    assert (page["data"], page["has_more"]) == (files[1::-1], False)
    page = listed(http, gateway, limit=1).json()
    assert (page["data"], page["has_more"], page["last_id"]) == (files[2:], True, files[2]["id"])
    theirs = http.get(f"{gateway.url}/v1/files", headers=OTHERS)
    assert theirs.json() == empty
    assert http.get(f"{gateway.url}/v1/files").status_code == 401


def test_a_deleted_file_leaves_the_list_and_paging_continues_after_it(
    http: httpx2.Client, gateway: GatewayProcess
) -> None:
    files = [upload_file(http, gateway) for _ in range(3)]
    http.delete(f"{gateway.url}/v1/files/{files[1]['id']}", headers=gateway.headers)

    assert listed(http, gateway).json()["data"] == [files[2], files[0]]
    assert listed(http, gateway, after=files[1]["id"]).json()["data"] == [files[0]]


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ({"limit": "0"}, "limit", "invalid_value"),
        ({"limit": "10001"}, "limit", "invalid_value"),
        ({"limit": "ten"}, "limit", "invalid_value"),
        ({"order": "ASC"}, "order", "invalid_value"),
        ({"purpose": "visions"}, "purpose", "invalid_value"),
        ({"after": "file-1"}, "after", "invalid_value"),
        ({"after": new_image_id("dev", "png", "0" * 32, UPLOADED)}, "after", "invalid_value"),
        ({"before": "file-1"}, "before", "unknown_parameter"),
        ({"limit": ["1", "2"]}, "limit", "invalid_value"),
    ],
)
def test_a_wrong_parameter_of_a_list_is_refused_by_name(
    http: httpx2.Client, sandbox_gateway: GatewayProcess, query: dict[str, str], param: str, code: str
) -> None:
    reply = listed(http, sandbox_gateway, **query)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code), error


def test_a_version_of_the_api_belongs_to_azures_addresses(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    query, headers = "?api-version=2025-04-01-preview", sandbox_gateway.headers
    for path in ("/openai/files", "/openai/v1/files", "/openai/v1/usage"):
        reply = http.get(sandbox_gateway.url + path + query, headers=headers)
        assert reply.status_code == 200, reply.text
    for path in ("/v1/files", "/v1/usage"):
        reply = http.get(sandbox_gateway.url + path + query, headers=headers)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "api-version")


def test_a_file_lives_as_long_as_its_caller_requested(http: httpx2.Client, gateway: GatewayProcess) -> None:
    lent, other = upload_file(http, gateway, **LENT), upload_file(http, gateway)
    assert isinstance(lent["created_at"], int)
    assert lent["expires_at"] == lent["created_at"] + HOUR
    address = f"{gateway.url}/v1/files/{lent['id']}"
    for file in (lent, other):
        age(gateway, file["id"], HOUR - 60)
    assert http.get(address, headers=gateway.headers).status_code == 200
    assert edit(http, gateway, images=[{"file_id": lent["id"]}]).status_code == 200
    assert http.get(f"{address}/content", headers=gateway.headers).content == png()

    for file in (lent, other):
        age(gateway, file["id"], HOUR)

    for path in (address, f"{address}/content"):
        reply = http.get(path, headers=gateway.headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "file_not_found")
    reply = edit(http, gateway, images=[{"file_id": lent["id"]}])
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "file_not_found")
    gateway.await_logged("images deleted")
    left = {path.name for path in (gateway.data / "pictures").glob("file-*")}
    assert f"{lent['id']}.png" not in left
    assert f"{other['id']}.png" in left


def test_a_file_lives_no_longer_than_the_gateways_setting(http: httpx2.Client, gateway: GatewayProcess) -> None:
    file = upload_file(http, gateway, **LENT | {"expires_after[seconds]": "86400"})
    assert isinstance(file["created_at"], int)
    assert file["expires_at"] == file["created_at"] + 7200


def test_files_of_an_older_gateway_are_listed(http: httpx2.Client, gateway: GatewayProcess) -> None:
    images, name = gateway.data / "pictures", to_stored_name(new_image_id("dev", "png", "0" * 32, UPLOADED))
    (images / to_filename_key(name)).write_text("an old fox.png")
    (images / name).write_bytes(png())

    assert becomes_true(lambda: bool(listed(http, gateway).json()["data"]))
    (file,) = listed(http, gateway).json()["data"]

    assert (file["id"], file["filename"]) == (name.removesuffix(".png"), "an old fox.png")
    assert http.get(f"{gateway.url}/v1/files/{file['id']}", headers=gateway.headers).json() == file
