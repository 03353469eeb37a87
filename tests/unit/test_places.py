"""Under which name a picture is kept for who asks for the same: no field or team too few, no spelling too many."""

import hashlib
import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.api.canonical import canonical, references_of_generation
from service.api.schemas import GenerateBody, decode_json
from service.domain.images import Spec
from service.domain.teams import Team
from service.domain.terms import Terms
from service.usecases.buy_once import place_of
from service.usecases.buy_pictures import Wish
from service.usecases.make_images import nobody
from tests.fakes.builders import KEY, caller, edit, model, spec, upload

PICTURE = bytes(range(256))
TERMS = Terms()


def place(asked: Spec, team: str = "search", terms: Terms = TERMS) -> tuple[str, str]:
    who = caller(key=replace(KEY, team=Team(name=team)))
    return place_of(Wish(spec=asked, model=model(), caller=who, admitted=nobody), terms, shared=False)


@given(position=st.integers(0, len(PICTURE) - 1), value=st.integers(0, 255), field=st.sampled_from(["image", "mask"]))
def test_any_byte_of_a_picture_changes_the_place(position: int, value: int, field: str) -> None:
    other = bytearray(PICTURE)
    other[position] = value
    plain = edit(upload(PICTURE), mask=upload(PICTURE, "mask"))
    changed = upload(bytes(other), field)
    asked = replace(plain, references=(changed,)) if field == "image" else replace(plain, mask=changed)
    assert (place(asked) == place(plain)) == (bytes(other) == PICTURE)


@given(one=st.text("abc-", min_size=1, max_size=4), two=st.text("abc-", min_size=1, max_size=4))
def test_another_team_is_another_place(one: str, two: str) -> None:
    assert (place(spec(), one) == place(spec(), two)) == (one == two)


@given(one=st.integers(0, 99), two=st.integers(0, 99))
def test_another_sample_is_another_place(one: int, two: int) -> None:
    places = [place(spec(), terms=Terms(variant=variant)) for variant in (one, two)]
    assert (places[0] == places[1]) == (one == two)


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
    "user": [None, "somebody", "somebody else"],
    "safety_identifier": [None, "somebody"],
}
SAID = st.fixed_dictionaries({}, optional=FIELDS)


def read(body: dict[str, Any]) -> Spec:
    document = decode_json(json.dumps(body).encode(), GenerateBody)
    return canonical(document, KEY.team, references=references_of_generation(document, 1_000_000))


@given(said=SAID, data=st.data())
def test_two_spellings_of_the_same_have_one_place(said: dict[str, Any], data: st.DataObject) -> None:
    plain = {"prompt": "a fox", **said}
    unsaid = sorted(DEFAULTS.keys() - said.keys())
    aloud = {name: data.draw(st.sampled_from(DEFAULTS[name])) for name in data.draw(st.sets(st.sampled_from(unsaid)))}
    spelled = data.draw(st.permutations(sorted((plain | aloud).items(), key=lambda item: item[0])))
    assert place(read(dict(spelled))) == place(read(plain))


@given(one=SAID, two=SAID)
def test_two_wishes_have_two_places(one: dict[str, Any], two: dict[str, Any]) -> None:
    places = [place(read({"prompt": "a fox", **said})) for said in (one, two)]
    assert (places[0] == places[1]) == (one == two)


def test_a_place_tells_nothing() -> None:
    scope, name = place(spec(prompt="a secret fox"))
    assert (scope, len(name), set(name) <= set("0123456789abcdef")) == ("search", 64, True)
    assert name != hashlib.sha256(b"a secret fox").hexdigest()
