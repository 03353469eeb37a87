"""Place of stored images: every form of the address, and refused contents."""

from pathlib import Path

import pytest

from service.settings.storage_url import ImageBucket, ImageFolder, Storage, read_storage
from service.settings.yaml_file import SettingsError

HERE = "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("text", "storage", "shown"),
    [
        ("/srv/pictures", ImageFolder(Path("/srv/pictures")), "/srv/pictures"),
        ("pictures", ImageFolder(Path("pictures")), "pictures"),
        ("/srv/50% off?", ImageFolder(Path("/srv/50% off?")), "/srv/50% off?"),
        ("file:///srv/our%20pictures", ImageFolder(Path("/srv/our pictures")), "/srv/our pictures"),
        ("file://localhost/srv", ImageFolder(Path("/srv")), "/srv"),
        ("s3://album", ImageBucket(name="album", prefix="", endpoint=None), "s3://album"),
        ("s3://album/", ImageBucket(name="album", prefix="", endpoint=None), "s3://album"),
        (
            "s3://al.bum-1/of/ours/",
            ImageBucket(name="al.bum-1", prefix="of/ours", endpoint=None),
            "s3://al.bum-1/of/ours",
        ),
    ],
)
def test_an_address_is_a_folder_or_a_bucket(text: str, storage: Storage, shown: str) -> None:
    parsed = read_storage({"STORAGE_URL": text})

    assert (parsed, str(parsed)) == (storage, shown)


@pytest.mark.parametrize("environment", [{}, {"STORAGE_URL": ""}, {"AWS_ENDPOINT_URL": HERE}])
def test_without_an_address_there_is_nothing(environment: dict[str, str]) -> None:
    assert read_storage(environment) is None


@pytest.mark.parametrize(
    ("more", "endpoint"),
    [
        ({}, None),
        ({"AWS_ENDPOINT_URL": ""}, None),
        ({"AWS_ENDPOINT_URL": f"{HERE}/"}, HERE),
        ({"AWS_ENDPOINT_URL": "https://objects.test"}, "https://objects.test"),
        ({"AWS_ENDPOINT_URL": "https://other.test", "AWS_ENDPOINT_URL_S3": HERE}, HERE),
    ],
)
def test_a_bucket_may_be_elsewhere(more: dict[str, str], endpoint: str | None) -> None:
    parsed = read_storage({"STORAGE_URL": "s3://album", **more})

    assert parsed == ImageBucket(name="album", prefix="", endpoint=endpoint)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gs://album", "'gs' is not offered; give a folder or s3://bucket/prefix"),
        ("https://objects.test/album", "'https' is not offered"),
        ("file://", "three slashes"),
        ("file:pictures", "three slashes"),
        ("file://elsewhere/pictures", "three slashes"),
        ("s3://", "has no bucket"),
        ("s3:///prefix", "has no bucket"),
        ("s3://a", "has no bucket"),
        ("s3://al bum", "has no bucket"),
        ("s3://album:80", "has no bucket"),
        ("s3://AKIA:SECRET@album", "credentials go into AWS_ACCESS_KEY_ID"),
        ("s3://album?key=SECRET", "holds more than bucket and prefix"),
        ("s3://album/prefix#SECRET", "holds more than bucket and prefix"),
        ("s3://album/a//b", "its prefix may have"),
        ("s3://album/a/../b", "its prefix may have"),
        ("s3://album/a b", "its prefix may have"),
        ("http://[::1", "is not an address"),
    ],
)
def test_what_cannot_be_used_stops_the_start_without_showing_a_secret(text: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_storage({"STORAGE_URL": text})

    assert str(refused.value).startswith("STORAGE_URL: ")
    assert reason in str(refused.value)
    assert "SECRET@" not in str(refused.value)
    assert "=SECRET" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["objects.test", "ftp://objects.test", "http://", "http://x:0", "http://x:a"])
def test_an_endpoint_has_to_be_an_address(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"AWS_ENDPOINT_URL: .* is not an http or https address"):
        read_storage({"STORAGE_URL": "s3://album", "AWS_ENDPOINT_URL": endpoint})
