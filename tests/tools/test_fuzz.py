"""The stored corpus and hypothesis' variations of it, through every target, and the assumptions of the targets."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.http.multipart import EDIT_FORM
from service.api.schemas.requests import EditForm
from tests.support.profiles import examples
from tools.fuzz.requests import BOUNDARY, read
from tools.fuzz.targets import CORPUS, TARGETS, kept

# Pillow and ruamel.yaml warn of odd input; the gateway logs the cases that concern it.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::Warning:ruamel")]

MAX_FILES, MAX_BYTES = 60, 4096
BOUNDED = settings(max_examples=examples(60), database=None)
FILES = [(name, file) for name in TARGETS for file in kept(name)]


@pytest.mark.parametrize(("name", "file"), FILES, ids=[f"{name}/{file.name}" for name, file in FILES])
def test_a_corpus_file_breaks_no_target(name: str, file: Path) -> None:
    TARGETS[name](file.read_bytes())


def test_the_corpus_is_small_and_each_file_belongs_to_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    for name in TARGETS:
        sizes = [file.stat().st_size for file in kept(name)]
        assert 0 < len(sizes) <= MAX_FILES
        assert max(sizes) < MAX_BYTES


@pytest.mark.parametrize("name", TARGETS)
def test_an_altered_corpus_file_breaks_no_target(name: str) -> None:
    seeds = [file.read_bytes() for file in kept(name)]

    @BOUNDED
    @given(st.data())
    def altered(data: st.DataObject) -> None:
        seed = data.draw(st.sampled_from(seeds))
        start = data.draw(st.integers(0, len(seed)))
        end = data.draw(st.integers(start, min(len(seed), start + 8)))
        TARGETS[name](seed[:start] + data.draw(st.binary(max_size=8)) + seed[end:])

    altered()


@pytest.mark.parametrize("name", TARGETS)
def test_random_bytes_break_no_target(name: str) -> None:
    BOUNDED(given(st.binary(max_size=200))(TARGETS[name]))()


NAMES = st.text(st.characters(exclude_characters='"\\%\r\n\0', exclude_categories=["Cs"]), min_size=1, max_size=20)
FIELDS = st.sampled_from(EditForm.__struct_encode_fields__) | NAMES.map("svg[{}]".format)
TEXTS = st.dictionaries(FIELDS, st.text(max_size=200))


@BOUNDED
@given(TEXTS, st.lists(st.binary(min_size=1, max_size=300), max_size=4), st.integers(1, 64))
def test_a_written_form_is_read_back_unchanged(words: Mapping[str, str], images: list[bytes], size: int) -> None:
    delimiter = f"\r\n--{BOUNDARY}".encode()
    if any(delimiter in part for part in (*map(str.encode, words.values()), *images)):
        return
    body = b"".join(
        [
            *(part(f'name="{name}"', text.encode()) for name, text in words.items()),
            *(part('name="image"; filename="a"', image) for image in images),
            f"--{BOUNDARY}--\r\n".encode(),
        ],
    )
    if not words and not images:
        return
    form = read(body, size, EDIT_FORM)
    assert form.texts == words
    parts = []
    for reference in form.images:
        assert reference.content is not None
        with reference.content.open() as file:
            parts.append(file.read())
    assert parts == images


def part(head: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def test_a_reply_with_a_repeated_field_is_read_as_python_reads_it() -> None:
    TARGETS["openai"](json.dumps({"data": [{"b64_json": "AAAA"}]}).encode().replace(b"{", b'{"data": [],', 1))
