"""Ids and names of stored images, their owners and their expiry."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.stored_images import (
    GENERATED,
    UPLOADED,
    StoredObject,
    build_team_digest,
    clean_filename,
    expired_names,
    is_expired,
    is_stored_name,
    lifetime_seconds,
    new_image_id,
    owned_stored_name,
    parse_lifetime,
    parse_team_digest,
    parse_upload_id,
    to_filename_key,
    to_media_type,
    to_stored_name,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RANDOM = "0123456789abcdef" * 2
ID = new_image_id("search", "png", RANDOM)
DAY = 86_400


@pytest.mark.parametrize("kind", [GENERATED, UPLOADED])
@pytest.mark.parametrize(
    ("form", "ending", "media_type"),
    [
        ("png", "png", "image/png"),
        ("jpeg", "jpg", "image/jpeg"),
        ("webp", "webp", "image/webp"),
        ("gif", "gif", "image/gif"),
        ("svg", "svg", "image/svg+xml"),
        ("avif", "bin", "application/octet-stream"),
    ],
)
def test_everything_follows_from_the_id(kind: str, form: str, ending: str, media_type: str) -> None:
    stored_id = new_image_id("search", form, RANDOM, kind)

    assert stored_id.startswith(kind)
    assert stored_id.endswith(RANDOM)
    assert to_stored_name(stored_id) == f"{stored_id}.{ending}"
    assert to_media_type(to_stored_name(stored_id)) == media_type
    assert is_stored_name(to_stored_name(stored_id))
    assert owned_stored_name("search", stored_id) == to_stored_name(stored_id)


@pytest.mark.parametrize(("seconds", "end"), [(None, RANDOM), (3600, "-3600"), (2_592_000, "-2592000")])
def test_an_id_says_how_long_its_file_is_lent(seconds: int | None, end: str) -> None:
    stored_id = new_image_id("search", "jpeg", RANDOM, UPLOADED, seconds)

    assert stored_id.endswith(end)
    assert (parse_lifetime(stored_id), parse_team_digest(stored_id)) == (seconds, build_team_digest("search"))
    assert owned_stored_name("search", stored_id) == f"{stored_id}.jpg"
    assert parse_upload_id(f"{stored_id}.jpg") == stored_id
    assert lifetime_seconds(f"{stored_id}.jpg", 10 * DAY) == min(seconds or 10 * DAY, 10 * DAY)


@pytest.mark.parametrize("name", [ID, f"{ID}.png", "file-1.png", f"{UPLOADED}{ID[4:]}.png.name", "notes.txt"])
def test_only_files_that_were_brought_are_listed(name: str) -> None:
    assert parse_upload_id(name) is None


@given(st.text(max_size=60))
def test_no_text_leads_out_of_the_store(text: str) -> None:
    assert owned_stored_name("search", text) is None
    assert not is_stored_name(text)
    assert to_stored_name(text).endswith(".bin")


@pytest.mark.parametrize(
    "stored_id",
    [
        new_image_id("ads", "png", RANDOM),
        f"{ID}.png",
        f"{ID}/../{ID}",
        f"{ID}\n",
        ID.upper(),
        ID[:-1],
        ID.replace("img_", "doc_"),
        f"{ID}-0",
        f"{ID}-0999",
        f"{ID}-99999999",
        f"{ID}-3600s",
        f"{ID}-\N{ARABIC-INDIC DIGIT ONE}000",
        f" {ID}",
    ],
)
def test_an_id_that_is_another_teams_or_altered_names_nothing(stored_id: str) -> None:
    assert owned_stored_name("search", stored_id) is None


@pytest.mark.parametrize("name", [ID, f"{ID}.jpg", f"{ID}.png.name", f"{ID}.png#1", f"x{ID}.png", "notes.txt", ""])
def test_a_name_is_an_id_and_its_own_ending(name: str) -> None:
    assert not is_stored_name(name)


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("fox.png", "fox.png"),
        ("/home/ann/fox.png", "fox.png"),
        ("C:\\Users\\ann\\fox.png", "fox.png"),
        ("ein Fuchs 🦊.png", "ein Fuchs 🦊.png"),
        ("fo\nx\x00.png", "fox.png"),
        ("a" * 300, "a" * 255),
        ("", ""),
    ],
)
def test_a_label_is_the_last_part_of_what_the_caller_said(filename: str, shown: str) -> None:
    assert clean_filename(filename) == shown


@pytest.mark.parametrize(("seconds", "old"), [(59, False), (59.999, False), (60, True), (61, True)])
def test_old_is_as_old_as_pictures_are_kept(seconds: float, old: bool) -> None:
    assert is_expired(StoredObject(name="", length=1, written_at=NOW - timedelta(seconds=seconds)), NOW, 60) is old


def listed(name: str, age: float) -> StoredObject:
    return StoredObject(name=name, length=1, written_at=NOW - timedelta(seconds=age))


UPLOADED_NAME = to_stored_name(new_image_id("search", "webp", RANDOM, UPLOADED))
LENT_NAME = to_stored_name(new_image_id("search", "webp", RANDOM, UPLOADED, 7200))
LONG_NAME = to_stored_name(new_image_id("search", "webp", RANDOM, UPLOADED, 2 * DAY))


@pytest.mark.parametrize(
    ("name", "age", "gone"),
    [
        (f"{ID}.png", DAY - 1, False),
        (f"{ID}.png", DAY, True),
        (UPLOADED_NAME, DAY - 1, False),
        (UPLOADED_NAME, DAY, True),
        (to_filename_key(UPLOADED_NAME), DAY + 3599, False),
        (to_filename_key(UPLOADED_NAME), DAY + 3600, True),
        (LENT_NAME, 7199, False),
        (LENT_NAME, 7200, True),
        (to_filename_key(LENT_NAME), 7200 + 3599, False),
        (to_filename_key(LENT_NAME), 7200 + 3600, True),
        (f"{LENT_NAME}#1", 3600, True),
        (LONG_NAME, DAY - 1, False),
        (LONG_NAME, DAY, True),
        (f"{ID}.png#1", 3599, False),
        (f"{ID}.png#17", 3600, True),
        (f"{to_filename_key(UPLOADED_NAME)}#2", 3600, True),
        ("notes.txt", 1000 * DAY, False),
        ("img_holiday.png", 1000 * DAY, False),
        (f"{ID}.png#", 1000 * DAY, False),
        (f"{ID}.png.bak", 1000 * DAY, False),
        (f"old/{ID}.png", 1000 * DAY, False),
    ],
)
def test_only_what_is_ours_and_old_is_forgotten(name: str, age: float, gone: bool) -> None:
    assert expired_names([listed(name, age)], NOW, DAY) == ([name] if gone else [])


def test_what_was_not_finished_is_kept_no_longer_than_what_was() -> None:
    assert expired_names([listed(f"{ID}.png#1", 60)], NOW, 60) == [f"{ID}.png#1"]
