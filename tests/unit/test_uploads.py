"""Pictures on their way in: on disk, bounded, hashed, and gone when nobody needs them."""

import gc
import io
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from service.adapters.uploads import FileSpool
from service.domain.errors import TooLarge, UnreadableFile
from service.domain.image_spec import Content


def spooled(*chunks: bytes) -> Content:
    intake = FileSpool(1000).begin("image")
    for chunk in chunks:
        intake.write(chunk)
    content = intake.finish().content
    assert content is not None
    return content


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 (entries vanish while they are listed)


def test_what_arrives_in_parts_is_one_picture() -> None:
    intake = FileSpool(9).begin("image[0]")
    for chunk in (b"fo", b"", bytearray(b"x a"), memoryview(b"nd o")):
        intake.write(chunk)

    reference = intake.finish()

    assert (reference.param, reference.media_type, reference.link) == ("image[0]", "", None)
    assert reference.digest == blake3(b"fox and o").hexdigest()
    assert reference.content is not None
    assert reference.content.length == 9
    assert reference.content.open().read() == b"fox and o"


@pytest.mark.parametrize("chunks", [[b"1234567890x"], [b"12345", b"67890", b"x"]])
def test_a_picture_is_cut_off_at_its_limit(chunks: list[bytes]) -> None:
    intake, (*fitting, last) = FileSpool(10).begin("mask"), chunks
    for chunk in fitting:
        intake.write(chunk)

    with pytest.raises(TooLarge, match="mask is larger than 10 bytes") as refused:
        intake.write(last)

    assert refused.value.param == "mask"


@pytest.mark.parametrize("chunks", [[], [b""]])
def test_an_empty_picture_is_refused(chunks: list[bytes]) -> None:
    intake = FileSpool(10).begin("mask")
    for chunk in chunks:
        intake.write(chunk)

    with pytest.raises(UnreadableFile) as refused:
        intake.finish()

    assert (refused.value.param, refused.value.code) == ("mask", "empty_image_file")


def test_readers_do_not_disturb_each_other() -> None:
    content = spooled(b"0123456789")
    one, two = content.open(), content.open()

    assert one.read(3) == b"012"
    assert two.read(5) == b"01234"
    assert one.read() == b"3456789"
    assert two.read() == b"56789"
    assert one.read() == b""


@pytest.mark.parametrize(
    ("offset", "whence", "rest"),
    [(0, io.SEEK_SET, b"0123456789"), (7, io.SEEK_SET, b"789"), (-2, io.SEEK_END, b"89"), (3, io.SEEK_CUR, b"56789")],
)
def test_a_reader_goes_where_it_is_sent(offset: int, whence: int, rest: bytes) -> None:
    reader = spooled(b"01234", b"56789").open()
    reader.read(2)

    reader.seek(offset, whence)

    assert reader.tell() == 10 - len(rest)
    assert reader.read() == rest


def test_a_large_picture_comes_back_whole() -> None:
    body = bytes(range(256)) * 4096
    intake = FileSpool(len(body)).begin("image")
    intake.write(body)
    content = intake.finish().content

    assert content is not None
    assert content.open().read() == body


def test_pictures_that_come_together_share_a_file_and_no_byte() -> None:
    before, spool = open_files(), FileSpool(10)
    intakes = []
    for body in (b"fox", b"and hound", b"!"):
        intakes.append(spool.begin("image"))
        intakes[-1].write(body)
    contents = [intake.finish().content for intake in intakes]
    del spool, intakes

    assert open_files() == before + 1
    assert [content.open().read() for content in contents if content] == [b"fox", b"and hound", b"!"]
    reader = contents[1].open() if contents[1] else io.BytesIO()
    assert (reader.seek(-5, io.SEEK_END), reader.read(), reader.seek(9), reader.read(1), reader.seek(12)) == (
        4,
        b"hound",
        9,
        b"",
        12,
    )
    assert reader.read() == b""
    with pytest.raises(ValueError, match="before the first byte"):
        reader.seek(-1)
    del contents
    assert open_files() == before + 1
    del reader
    assert open_files() == before


def test_a_picture_lasts_as_long_as_someone_reads_it() -> None:
    before = open_files()
    reader = spooled(b"fox").open()

    assert open_files() == before + 1
    assert reader.read() == b"fox"
    del reader
    assert open_files() == before


@pytest.mark.parametrize("chunks", [[], [b"fox"]])
def test_a_picture_that_was_given_up_is_gone(chunks: list[bytes]) -> None:
    before = open_files()
    intake = FileSpool(10).begin("image")
    for chunk in chunks:
        intake.write(chunk)

    assert open_files() == before + 1
    del intake
    assert open_files() == before


def test_nothing_has_a_name_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    content = spooled(b"fox")

    assert list(tmp_path.iterdir()) == []
    assert content.open().read() == b"fox"


@contextmanager
def room_for(length: int) -> Iterator[None]:
    """No file may grow beyond this: what a full disk looks like to one who writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_picture_that_the_disk_took_in_part_is_not_passed_off_as_whole() -> None:
    intake = FileSpool(1000).begin("image")

    with room_for(4), pytest.raises(OSError, match="too large"):
        intake.write(b"0123456789")
