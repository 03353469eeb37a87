"""Base64 in all its spellings decodes to equal images."""

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.uploads import FileUploads
from service.api.http.body_to_spec import generation_references, parse_reference
from service.api.schemas.requests import GenerateBody, decode_json
from service.domain.base64_text import to_strict
from service.domain.errors import InvalidValue, MalformedBody, RequestError, UnreachableLink, UnreadableFile

IMAGE = bytes(range(256)) * 2 + b"\xfb\xff\xbf\x00"
TEXT = base64.b64encode(IMAGE).decode()
LINES = base64.encodebytes(IMAGE).decode()
UPLOADS = FileUploads(max_bytes=1 << 20)


def read(url: str) -> bytes:
    return read_token(json.dumps(url))


def read_token(token: str) -> bytes:
    reference = parse_reference(msgspec.Raw(token.encode()), "image_url", UPLOADS)
    assert reference.content is not None
    with reference.content.open() as file:
        return file.read()


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{TEXT}",
        f"data:image/png;base64,{LINES}",
        f"data:image/png;base64,{LINES.replace(chr(10), chr(13) + chr(10))}",
        f"data:image/png;base64, {TEXT}",
        f"data:image/png;base64,\n{TEXT}\n",
        f" data:image/png;base64,{TEXT} ",
        f"\ndata:image/png;base64,{TEXT}",
        f"DATA:image/PNG;BASE64,{TEXT}",
        f"data:image/png; base64,{TEXT}",
        f"data:;base64,{TEXT}",
        f"data:image/png;charset=utf-8;name=a.png;base64,{TEXT}",
        f"data:image/png;base64,{TEXT.rstrip('=')}",
        f"data:image/png;base64,{TEXT.replace('+', '%2B').replace('/', '%2F').replace('=', '%3D')}",
        f"data:image/png;base64,{TEXT.replace('+', '%2b').replace('/', '%2f').replace('=', '%3d')}",
        f"data:image/png;base64,{LINES.replace(chr(10), '%0A')}",
    ],
)
def test_a_data_url_is_read_in_every_spelling(url: str) -> None:
    assert read(url) == IMAGE


@pytest.mark.parametrize(
    "token",
    [
        json.dumps(f"data:image/png;base64,{TEXT}").replace("/", "\\/"),
        json.dumps(f"data:image/png;base64,{TEXT}").replace("+", "\\u002B"),
        json.dumps(f"data:image/png;base64,{LINES}").replace("/", "\\/"),
        json.dumps(f"data:image/png;base64,{TEXT}").replace("d", "\\u0064", 1),
    ],
    ids=["php", "dotnet", "php in lines", "scheme"],
)
def test_so_it_is_with_escapes_of_json(token: str) -> None:
    assert read_token(token) == IMAGE


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("data:image/png;base64,A", UnreadableFile),
        ("data:image/png;base64,AB=C", UnreadableFile),
        ("data:image/png;base64,%41AAA", UnreadableFile),
        ("data:image/png;base64,____", UnreadableFile),
        ("data:image/png;base64,\u00e4AAA", UnreadableFile),
        ("data:image/png;base64,", UnreadableFile),
        ("data:image/png,AAAA", UnreadableFile),
        ("data", UnreachableLink),
        ("", UnreachableLink),
        (f"http://example.com/data:image/png;base64,{TEXT}", UnreachableLink),
    ],
)
def test_what_is_no_base64_is_refused(url: str, kind: type[RequestError]) -> None:
    with pytest.raises(kind) as refused:
        read(url)
    assert refused.value.param == "image_url"


@pytest.mark.parametrize("token", ["1", "{}", "[]", "true", '"\\ud800"'])
def test_what_is_no_text_is_refused(token: str) -> None:
    with pytest.raises(InvalidValue):
        read_token(token)


@pytest.mark.parametrize(
    "url", ["https://example.com/A.png", "HTTPS://example.com/A.png", " https://example.com/A.png\n"]
)
def test_a_scheme_is_one_in_every_case(url: str) -> None:
    plain = "https://example.com/A.png"
    reference = parse_reference(msgspec.Raw(json.dumps(url).encode()), "image_url", UPLOADS)
    assert reference == parse_reference(msgspec.Raw(json.dumps(plain).encode()), "image_url", UPLOADS)
    assert reference.link == plain


@given(st.binary(max_size=200), st.sampled_from(["", " ", "\n", "%0A", "\t"]), st.integers(1, 80))
def test_strict_base64_decodes_to_the_equal_image(image: bytes, blank: str, width: int) -> None:
    text = base64.b64encode(image).decode()
    with_blanks = "".join(blank + text[start : start + width] for start in range(0, len(text), width))
    assert to_strict(with_blanks.encode()) == text.encode()


@pytest.mark.parametrize("body", [b'{"prompt":"a fox"}', b'{"prompt":"a fox","image_url":null}'])
def test_a_byte_order_mark_means_nothing(body: bytes) -> None:
    decoded = decode_json(b"\xef\xbb\xbf" + body, GenerateBody)
    assert (decoded.prompt, generation_references(decoded, UPLOADS)) == ("a fox", [])


HALF = "an escape such as \\ud83d is half of a surrogate pair, and the other half does not follow"
CUT = "Input data was truncated"
PAIR = "JSON is malformed: invalid utf-16 surrogate pair"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (rb'{"prompt":"a \ud83d"}', HALF),
        (rb'{"prompt":"\uD83D a"}', HALF),
        (rb'{"prompt":"\ud83d\n"}', HALF),
        (rb'{"pro\ud83d":"a"}', "JSON is malformed: unexpected end of escaped utf-16 surrogate pair"),
        (rb'{"prompt":"\\\\\ud83d"}', HALF),
        (rb'{"prompt":"\ud83d\u0041"}', PAIR),
        (rb'{"prompt":"\ude00"}', PAIR),
        (rb'{"prompt":"\ud83d\ude00', CUT),
        (rb'{"prompt":"\\ud83d"', CUT),
        (rb'{"prompt":"\ud83d', CUT),
        (b'{"prompt":"a', CUT),
        (b"", "it is empty"),
        (b" \r\n", "it is empty"),
        (b"\xef\xbb\xbf", "it is empty"),
        ('{"prompt":"a"}'.encode("utf-16"), "it is not UTF-8"),
        (b'{"prompt":"\xe4"}', "it is not UTF-8"),
    ],
)
def test_a_refusal_names_the_fault_of_the_json(body: bytes, words: str) -> None:
    with pytest.raises(MalformedBody) as refused:
        decode_json(body, GenerateBody)
    assert refused.value.message == f"The body is not valid JSON: {words}."
