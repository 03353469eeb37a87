"""Cache keys: each field, byte and team makes another key, and no spelling of the same request does."""

import hashlib
import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.adapters.uploads import FileUploads
from service.api.http.body_to_spec import generation_references, to_spec
from service.api.schemas.requests import GenerateBody, decode_json
from service.domain.cache_directives import CacheDirectives
from service.domain.image_spec import Spec
from service.domain.team_access import Team
from service.usecases.generate.flight_names import CacheKey, cache_key
from tests.fakes.builders import KEY, caller, edit, image_request, spec, upload

IMAGE = bytes(range(256))
TERMS = CacheDirectives()


def key(asked: Spec, team: str = "search", terms: CacheDirectives = TERMS) -> CacheKey:
    who = caller(key=replace(KEY, team=Team(name=team)))
    return cache_key(image_request(asked, who, terms=terms), shared=False)


@given(position=st.integers(0, len(IMAGE) - 1), value=st.integers(0, 255), field=st.sampled_from(["image", "mask"]))
def test_any_byte_of_an_image_changes_the_key(position: int, value: int, field: str) -> None:
    other = bytearray(IMAGE)
    other[position] = value
    plain = edit(upload(IMAGE), mask=upload(IMAGE, "mask"))
    changed = upload(bytes(other), field)

    asked = replace(plain, references=(changed,)) if field == "image" else replace(plain, mask=changed)

    assert (key(asked) == key(plain)) == (bytes(other) == IMAGE)


@given(one=st.text("abc-", min_size=1, max_size=4), two=st.text("abc-", min_size=1, max_size=4))
def test_another_team_has_another_key(one: str, two: str) -> None:
    assert (key(spec(), one) == key(spec(), two)) == (one == two)


@given(one=st.integers(0, 99), two=st.integers(0, 99))
def test_another_sample_has_another_key(one: int, two: int) -> None:
    keys = [key(spec(), terms=CacheDirectives(variant=variant)) for variant in (one, two)]

    assert (keys[0] == keys[1]) == (one == two)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["gpt-image-2", "gpt-image-1.5"]),
    "size": st.sampled_from(["1024x1024", "1536x1024"]),
    "quality": st.sampled_from(["low", "high"]),
    "n": st.integers(2, 4),
    "background": st.sampled_from(["opaque", "transparent"]),
    "output_format": st.sampled_from(["jpeg", "webp"]),
    "output_compression": st.integers(1, 99),
    "moderation": st.just("low"),
    "seed": st.integers(0, 9),
    "negative_prompt": st.text("xyz", min_size=1),
}
DEFAULTS: dict[str, list[Any]] = {
    "size": [None, "auto"],
    "quality": [None, "auto"],
    "n": [None, 1],
    "background": [None, "auto"],
    "output_format": [None, "png"],
    "output_compression": [None, 100],
    "moderation": [None, "auto"],
    "seed": [None],
    "negative_prompt": [None, ""],
    "stream": [None, False],
    "user": [None, "a person", "another person"],
    "safety_identifier": [None, "a person"],
}
FIELDS_SENT = st.fixed_dictionaries({}, optional=FIELDS)


def read(body: dict[str, Any]) -> Spec:
    document = decode_json(json.dumps(body).encode(), GenerateBody)
    return to_spec(document, KEY.team, references=generation_references(document, FileUploads(max_bytes=1_000_000)))


@given(fields=FIELDS_SENT, data=st.data())
def test_two_spellings_of_one_request_have_one_key(fields: dict[str, Any], data: st.DataObject) -> None:
    plain = {"prompt": "a fox", **fields}
    unsent = sorted(DEFAULTS.keys() - fields.keys())
    aloud = {name: data.draw(st.sampled_from(DEFAULTS[name])) for name in data.draw(st.sets(st.sampled_from(unsent)))}
    shuffled = data.draw(st.permutations(sorted((plain | aloud).items(), key=lambda item: item[0])))

    assert key(read(dict(shuffled))) == key(read(plain))


@given(one=FIELDS_SENT, two=FIELDS_SENT)
def test_two_requests_have_two_keys(one: dict[str, Any], two: dict[str, Any]) -> None:
    keys = [key(read({"prompt": "a fox", **fields})) for fields in (one, two)]

    assert (keys[0] == keys[1]) == (one == two)


def test_a_key_reveals_nothing() -> None:
    secret = key(spec(prompt="a secret fox"))

    assert (secret.scope, len(secret.name), set(secret.name) <= set("0123456789abcdef")) == ("search", 64, True)
    assert secret.name != hashlib.sha256(b"a secret fox").hexdigest()
