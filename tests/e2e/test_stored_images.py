"""Stored images: fetched by URL, used again by their ids, and deleted in time."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from service.domain.stored_images import new_image_id
from tests.e2e.stored_image_calls import OTHERS, edit, generate_image, read_image, settings, upload
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess
from tests.support.images import data_url, mask, png
from tests.support.object_server import ObjectServer

SIZES = ("1024x1024", "1536x1024", "1024x1536", "1152x896", "896x1152")
FORMATS = ("png", "jpeg", "png", "webp", "png")


@pytest.fixture(scope="module")
def bucket(objects: ObjectServer) -> str:
    """Bucket of that gateway."""
    return objects.new_bucket()


@pytest.fixture(scope="module")
def bucket_gateway(
    tmp_path_factory: pytest.TempPathFactory, config: Path, objects: ObjectServer, bucket: str
) -> Iterator[GatewayProcess]:
    """A sandbox gateway that stores its images in a bucket."""
    folder = tmp_path_factory.mktemp("bucket")
    environment = {
        "IMAGE_GATEWAY_CONFIG": settings(folder / "config", config, ""),
        "STORAGE_URL": f"s3://{bucket}/of/ours",
        "URL_SIGNING_KEY": "k" * 32,
        **objects.environment(),
    }
    with GatewayProcess(folder / "data", environment) as gateway:
        yield gateway


@pytest.fixture(params=["folder", "bucket"])
def gateway(request: pytest.FixtureRequest) -> GatewayProcess:
    name = "sandbox_gateway" if request.param == "folder" else "bucket_gateway"
    running: GatewayProcess = request.getfixturevalue(name)
    return running


def conversation(http: httpx2.Client, gateway: GatewayProcess) -> list[bytes]:
    """Edit five times, each time the image of the edit before. Returns the images, first to last."""
    item = generate_image(http, gateway, size=SIZES[0])
    images = [read_image(item)]
    for size, form in zip(SIZES[1:], FORMATS[1:], strict=True):
        reply = edit(http, gateway, images=[{"file_id": item["id"]}], size=size, output_format=form)
        assert reply.status_code == 200, reply.text
        item = reply.json()["data"][0]
        images.append(read_image(item))
    assert len(set(images)) == len(SIZES)
    return images


def test_a_conversation_through_openai(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator
) -> None:
    images = conversation(http, openai_gateway)

    _, *edits = openai_sim.requests
    assert [[file.sha256 for file in received.files] for received in edits] == [
        [hashlib.sha256(image).hexdigest()] for image in images[:-1]
    ]
    assert [received.files[0].content_type for received in edits] == [f"image/{form}" for form in FORMATS[:-1]]
    assert {received.files[0].part_name for received in edits} == {"image"}


def test_a_conversation_through_together(
    http: httpx2.Client, together_gateway: GatewayProcess, together_sim: Simulator
) -> None:
    images = conversation(http, together_gateway)

    _, *edits = together_sim.requests
    assert [received.fields["image_url"] for received in edits] == [
        data_url(image, f"image/{form}") for image, form in zip(images[:-1], FORMATS[:-1], strict=True)
    ]


def test_a_conversation_with_the_sandbox(http: httpx2.Client, gateway: GatewayProcess) -> None:
    assert len(conversation(http, gateway)) == 5


def test_a_file_is_a_reference_and_a_mask(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator
) -> None:
    one, overlay = (upload(http, openai_gateway, body).json()["id"] for body in (png(), mask()))

    reply = edit(http, openai_gateway, images=[{"file_id": one}] * 2, mask={"file_id": overlay})

    assert reply.status_code == 200, reply.text
    (received,) = openai_sim.requests
    assert [(file.part_name, file.body) for file in received.files] == [
        ("image[]", png()),
        ("image[]", png()),
        ("mask", mask()),
    ]


def test_a_file_is_uploaded_described_fetched_and_deleted(http: httpx2.Client, gateway: GatewayProcess) -> None:
    reply = upload(http, gateway, png(), name="ein Fuchs.png")
    assert reply.status_code == 200, reply.text
    file = reply.json()
    address = f"{gateway.url}/v1/files/{file['id']}"
    assert abs(file["created_at"] - datetime.now(UTC).timestamp()) < 60
    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": len(png()),
        "created_at": file["created_at"],
        "filename": "ein Fuchs.png",
        "purpose": "vision",
        "status": "processed",
        "expires_at": file["created_at"] + 2_592_000,
    }
    assert http.get(address, headers=gateway.headers).json() == file
    content = http.get(f"{address}/content", headers=gateway.headers)
    assert (content.content, content.headers["content-type"]) == (png(), "image/png")
    gone = http.delete(address, headers=gateway.headers)
    assert (gone.status_code, gone.json()) == (200, {"id": file["id"], "object": "file", "deleted": True})
    for again in (http.get(address, headers=gateway.headers), http.delete(address, headers=gateway.headers)):
        assert (again.status_code, again.json()["error"]["code"]) == (404, "file_not_found")
    assert edit(http, gateway, images=[{"file_id": file["id"]}]).status_code == 400


@pytest.mark.parametrize(
    ("purpose", "body", "param", "code", "status"),
    [
        ("assistants", png(), "purpose", "invalid_value", 400),
        ("vision", b"", "file", "empty_image_file", 400),
        ("vision", b"not a picture", "file", "invalid_image", 400),
        ("vision", png(kind="GIF"), "file", "unsupported_file_mimetype", 400),
    ],
)
def test_an_upload_that_is_no_image_is_refused(
    http: httpx2.Client,
    sandbox_gateway: GatewayProcess,
    purpose: str,
    body: bytes,
    param: str,
    code: str,
    status: int,
) -> None:
    reply = upload(http, sandbox_gateway, body, purpose)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (status, param, code), error


@pytest.mark.parametrize(
    ("fields", "files", "param", "code"),
    [
        ({}, {"file": png()}, "purpose", "missing_required_parameter"),
        ({"purpose": "vision"}, {"other": b"x"}, "other", "unknown_parameter"),
        (
            {"purpose": "vision", "expires_after[seconds]": "3600"},
            {"file": png()},
            "expires_after.anchor",
            "missing_required_parameter",
        ),
        (
            {"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"},
            {"file": png()},
            "expires_after.seconds",
            "invalid_value",
        ),
        (
            {"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": "2592001"},
            {"file": png()},
            "expires_after.seconds",
            "invalid_value",
        ),
        (
            {"purpose": "vision", "expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
            {"file": png()},
            "expires_after.anchor",
            "invalid_value",
        ),
        (
            {"purpose": "vision", "expires_after[days]": "1"},
            {"file": png()},
            "expires_after.days",
            "unknown_parameter",
        ),
    ],
)
def test_a_form_that_is_no_upload_is_refused_by_name(
    http: httpx2.Client,
    sandbox_gateway: GatewayProcess,
    fields: dict[str, str],
    files: dict[str, bytes],
    param: str,
    code: str,
) -> None:
    address = f"{sandbox_gateway.url}/v1/files"
    reply = http.post(address, data=fields, files=files, headers=sandbox_gateway.headers)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code), error


def test_an_upload_needs_a_file_and_a_key(http: httpx2.Client, sandbox_gateway: GatewayProcess) -> None:
    address = f"{sandbox_gateway.url}/v1/files"
    form = b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nvision\r\n--x--\r\n'
    headers = sandbox_gateway.headers | {"content-type": "multipart/form-data; boundary=x"}
    error = http.post(address, content=form, headers=headers).json()["error"]
    assert (error["param"], error["code"]) == ("file", "missing_required_parameter")
    assert http.post(address, content=form, headers={"content-type": headers["content-type"]}).status_code == 401


def test_another_team_reaches_no_stored_image(http: httpx2.Client, bucket_gateway: GatewayProcess) -> None:
    gateway = bucket_gateway
    ours = (generate_image(http, gateway)["id"], upload(http, gateway, png()).json()["id"])
    never = (new_image_id("others", "png", "0" * 32), "file-1", "../x", "")
    replies = []
    for name in (*ours, *never):
        reply = edit(http, gateway, OTHERS, images=[{"image_url": data_url(png())}, {"file_id": name}])
        replies.append((reply.status_code, reply.text))
    assert len(set(replies)) == 1
    assert replies[0][0] == 400
    assert '"param":"images[1].file_id"' in replies[0][1]

    refusals = {
        (reply.status_code, reply.text)
        for name in (*ours, *never[:2])
        for path in (f"/v1/files/{name}", f"/v1/files/{name}/content")
        for method in ("GET", "DELETE")
        if not (method == "DELETE" and path.endswith("content"))
        for reply in [http.request(method, gateway.url + path, headers=OTHERS)]
    }
    assert [status for status, _ in refusals] == [404]
    for name in ours:
        assert http.get(f"{gateway.url}/v1/files/{name}", headers=gateway.headers).status_code == 200


@pytest.mark.parametrize(
    ("ref", "param"),
    [
        ({}, "images[0].image_url"),
        ({"image_url": data_url(png()), "file_id": "file-1"}, "images[0].image_url"),
        ({"file_id": "file-1"}, "images[0].file_id"),
        ({"file_id": 7}, "images[0].file_id"),
    ],
)
def test_a_reference_has_exactly_one_source(
    http: httpx2.Client, sandbox_gateway: GatewayProcess, ref: dict[str, object], param: str
) -> None:
    reply = edit(http, sandbox_gateway, images=[ref])
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


def test_an_image_is_fetched_whole_by_range_or_not_modified(http: httpx2.Client, gateway: GatewayProcess) -> None:
    address = generate_image(http, gateway, response_format="url")["url"]
    whole = http.get(address)
    body, tag = whole.content, whole.headers["etag"]
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["accept-ranges"] == "bytes"
    assert re.fullmatch(r'"[^"]+"', tag)
    assert len(body) == int(whole.headers["content-length"])

    def asked(**headers: str) -> httpx2.Response:
        return http.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})

    for header, start, end in (("bytes=0-99", 0, 100), ("bytes=100-", 100, len(body)), ("bytes=-7", -7, len(body))):
        part = asked(range=header)
        first = start % len(body)
        assert (part.status_code, part.content) == (206, body[start:end])
        assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{len(body)}"
        assert (part.headers["etag"], part.headers["content-type"]) == (tag, "image/png")
    beyond = asked(range=f"bytes={len(body)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(body)}")
    assert beyond.json()["error"]["code"] == "range_not_satisfiable"
    for ignored in (asked(range="bytes=0-1,5-6"), asked(range="bytes=0-9", if_range='"another"')):
        assert (ignored.status_code, ignored.content) == (200, body)
        assert "content-range" not in ignored.headers
    assert asked(range="bytes=0-9", if_range=tag).status_code == 206

    known = asked(if_none_match=tag)
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert asked(if_none_match='"another"').status_code == 200

    head = http.head(address)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(body)))
    assert (head.headers["etag"], head.headers["content-type"]) == (tag, "image/png")
    assert http.head(address + "0").status_code == 404


def test_a_deleted_image_is_a_404_for_a_conditional_request(http: httpx2.Client, gateway: GatewayProcess) -> None:
    item = generate_image(http, gateway, response_format="url")
    tag = http.get(item["url"]).headers["etag"]
    http.delete(f"{gateway.url}/v1/files/{item['id']}", headers=gateway.headers)
    for reply in (http.get(item["url"], headers={"if-none-match": tag}), http.get(item["url"])):
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "picture_not_found")
