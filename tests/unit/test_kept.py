"""What kept pictures are called, whose they are, and when they go."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.kept import (
    BROUGHT,
    DRAWN,
    Kept,
    brought_id,
    forgettable,
    is_name,
    is_old,
    label,
    label_name,
    lifetime,
    mark_of,
    mark_team,
    media_type_of,
    name_of,
    new_id,
    owned_name,
    seconds_of,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RANDOM = "0123456789abcdef" * 2
ID = new_id("search", "png", RANDOM)
DAY = 86_400


@pytest.mark.parametrize("kind", [DRAWN, BROUGHT])
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
    picture = new_id("search", form, RANDOM, kind)

    assert picture.startswith(kind)
    assert picture.endswith(RANDOM)
    assert name_of(picture) == f"{picture}.{ending}"
    assert media_type_of(name_of(picture)) == media_type
    assert is_name(name_of(picture))
    assert owned_name("search", picture) == name_of(picture)


@pytest.mark.parametrize(("seconds", "end"), [(None, RANDOM), (3600, "-3600"), (2_592_000, "-2592000")])
def test_an_id_says_how_long_its_file_is_lent(seconds: int | None, end: str) -> None:
    picture = new_id("search", "jpeg", RANDOM, BROUGHT, seconds)

    assert picture.endswith(end)
    assert (seconds_of(picture), mark_of(picture)) == (seconds, mark_team("search"))
    assert owned_name("search", picture) == f"{picture}.jpg"
    assert brought_id(f"{picture}.jpg") == picture
    assert lifetime(f"{picture}.jpg", 10 * DAY) == min(seconds or 10 * DAY, 10 * DAY)


@pytest.mark.parametrize("name", [ID, f"{ID}.png", "file-1.png", f"{BROUGHT}{ID[4:]}.png.name", "notes.txt"])
def test_only_files_that_were_brought_are_listed(name: str) -> None:
    assert brought_id(name) is None


@given(st.text(max_size=60))
def test_no_text_leads_out_of_the_store(text: str) -> None:
    assert owned_name("search", text) is None
    assert not is_name(text)
    assert name_of(text).endswith(".bin")


@pytest.mark.parametrize(
    "picture",
    [
        new_id("ads", "png", RANDOM),
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
def test_an_id_that_is_another_teams_or_altered_names_nothing(picture: str) -> None:
    assert owned_name("search", picture) is None


@pytest.mark.parametrize("name", [ID, f"{ID}.jpg", f"{ID}.png.name", f"{ID}.png#1", f"x{ID}.png", "notes.txt", ""])
def test_a_name_is_an_id_and_its_own_ending(name: str) -> None:
    assert not is_name(name)


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
    assert label(filename) == shown


@pytest.mark.parametrize(("seconds", "old"), [(59, False), (59.999, False), (60, True), (61, True)])
def test_old_is_as_old_as_pictures_are_kept(seconds: float, old: bool) -> None:
    assert is_old(Kept(name="", length=1, at=NOW - timedelta(seconds=seconds)), NOW, 60) is old


def listed(name: str, age: float) -> Kept:
    return Kept(name=name, length=1, at=NOW - timedelta(seconds=age))


BROUGHT_NAME = name_of(new_id("search", "webp", RANDOM, BROUGHT))
LENT_NAME = name_of(new_id("search", "webp", RANDOM, BROUGHT, 7200))
LONG_NAME = name_of(new_id("search", "webp", RANDOM, BROUGHT, 2 * DAY))


@pytest.mark.parametrize(
    ("name", "age", "gone"),
    [
        (f"{ID}.png", DAY - 1, False),
        (f"{ID}.png", DAY, True),
        (BROUGHT_NAME, DAY - 1, False),
        (BROUGHT_NAME, DAY, True),
        (label_name(BROUGHT_NAME), DAY + 3599, False),
        (label_name(BROUGHT_NAME), DAY + 3600, True),
        (LENT_NAME, 7199, False),
        (LENT_NAME, 7200, True),
        (label_name(LENT_NAME), 7200 + 3599, False),
        (label_name(LENT_NAME), 7200 + 3600, True),
        (f"{LENT_NAME}#1", 3600, True),
        (LONG_NAME, DAY - 1, False),
        (LONG_NAME, DAY, True),
        (f"{ID}.png#1", 3599, False),
        (f"{ID}.png#17", 3600, True),
        (f"{label_name(BROUGHT_NAME)}#2", 3600, True),
        ("notes.txt", 1000 * DAY, False),
        ("img_holiday.png", 1000 * DAY, False),
        (f"{ID}.png#", 1000 * DAY, False),
        (f"{ID}.png.bak", 1000 * DAY, False),
        (f"old/{ID}.png", 1000 * DAY, False),
    ],
)
def test_only_what_is_ours_and_old_is_forgotten(name: str, age: float, gone: bool) -> None:
    assert forgettable([listed(name, age)], NOW, DAY) == ([name] if gone else [])


def test_what_was_not_finished_is_kept_no_longer_than_what_was() -> None:
    assert forgettable([listed(f"{ID}.png#1", 60)], NOW, 60) == [f"{ID}.png#1"]
