"""Storage of images: lifetimes, no storage, and unusable storage, which stops the start."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from service.adapters.image_store import COOLING_DOWN, TIMED_OUT
from service.domain.stored_images import new_image_id, to_stored_name
from tests.e2e.stored_image_calls import edit, generate_image, read_image, settings, upload
from tests.support.gateway import GatewayProcess, clean_environment, run_command
from tests.support.images import png
from tests.support.object_server import ObjectServer


def test_images_are_deleted_after_their_lifetime(tmp_path: Path, config: Path, http: httpx2.Client) -> None:
    own = settings(tmp_path / "config", config, "images: {keep_seconds: 86400, sweep_seconds: 0.05}")
    storage = tmp_path / "album"
    storage.mkdir()
    old, new, unfinished = (to_stored_name(new_image_id("dev", "png", digit * 32)) for digit in "012")
    unfinished += "#1"
    for name, hours in ((old, 25), (new, 23), (unfinished, 2), ("notes.txt", 1000)):
        (storage / name).write_bytes(png())
        at = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        os.utime(storage / name, (at, at))
    environment = {"IMAGE_GATEWAY_CONFIG": own, "STORAGE_URL": storage.as_uri(), "URL_SIGNING_KEY": "k" * 32}
    with GatewayProcess(tmp_path / "data", environment) as gateway:
        gateway.await_logged("images deleted", count=2)
        known = edit(http, gateway, images=[{"file_id": new.removesuffix(".png")}])
        gone = edit(http, gateway, images=[{"file_id": old.removesuffix(".png")}])
    assert (known.status_code, gone.status_code) == (200, 400)
    left = {path.name for path in storage.iterdir()}
    assert {new, "notes.txt"} < left
    assert not {old, unfinished} & left


def test_without_storage_images_are_inline_only(tmp_path: Path, redis_url: str, http: httpx2.Client) -> None:
    environment = {"REDIS_URL": redis_url, "DATABASE_URL": f"sqlite:///{tmp_path}/books.db"}
    with GatewayProcess(tmp_path / "data", environment) as gateway:
        item = generate_image(http, gateway)
        body = {"prompt": "a fox", "response_format": "url"}
        linked = http.post(f"{gateway.url}/v1/images/generations", json=body, headers=gateway.headers)
        again = edit(http, gateway, images=[{"file_id": item["id"]}])
        uploaded = upload(http, gateway, png())
        described = http.get(f"{gateway.url}/v1/files/{item['id']}", headers=gateway.headers)
    params = [reply.json()["error"]["param"] for reply in (linked, again, uploaded)]
    assert [reply.status_code for reply in (linked, again, uploaded, described)] == [400, 400, 400, 404]
    assert params == ["response_format", "images[0].file_id", "file"]


def test_a_hanging_bucket_fails_urls_and_serves_inline_images(
    tmp_path: Path, http: httpx2.Client, objects: ObjectServer
) -> None:
    bucket, name = objects.new_bucket(), new_image_id("dev", "png", "7" * 32)
    objects.client().put_object(Bucket=bucket, Key=to_stored_name(name), Body=bytes(64_000_000))
    environment = {"STORAGE_URL": f"s3://{bucket}", "URL_SIGNING_KEY": "k" * 32, **objects.environment()}
    with GatewayProcess(tmp_path / "data", environment) as gateway:
        address = f"{gateway.url}/v1/files/{name}/content"
        with http.stream("GET", address, headers=gateway.headers) as begun, objects.frozen():
            with pytest.raises(httpx2.RemoteProtocolError):
                begun.read()
            inline = generate_image(http, gateway)
            body = {"prompt": "a fox", "response_format": "url"}
            linked = http.post(f"{gateway.url}/v1/images/generations", json=body, headers=gateway.headers)
        gateway.await_logged("request", path=f"/v1/files/{name}/content", error="storage_unavailable", cause=TIMED_OUT)
        gateway.await_logged("image not stored", cause=COOLING_DOWN)
    assert begun.status_code == 200
    assert read_image(inline).startswith(b"\x89PNG")
    assert (linked.status_code, linked.json()["error"]["code"]) == (503, "storage_unavailable")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("gs://album", "STORAGE_URL: 'gs' is not offered"),
        ("s3://key:secret@album", "STORAGE_URL: holds more than bucket and prefix"),
        ("/dev/null/album", "STORAGE_URL: the folder /dev/null/album cannot be used"),
        ("s3://album", "URL_SIGNING_KEY: needed with STORAGE_URL"),
    ],
)
def test_unusable_storage_stops_the_start(tmp_path: Path, config: Path, redis_url: str, url: str, reason: str) -> None:
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(config),
        "STORAGE_URL": url,
        "REDIS_URL": redis_url,
        "DATABASE_URL": f"sqlite:///{tmp_path}/books.db",
    }
    words = ("serve", "--dev", "--port", "0", "--data-dir", str(tmp_path))
    done = run_command(*words, environment=clean_environment(**environment))
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
    assert "secret" not in done.stderr
