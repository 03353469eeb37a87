"""Keys of `gateway.yaml` with the name of before 0.1.0 are refused with the name of today."""

from pathlib import Path

import msgspec
import pytest

from service.settings.gateway import read_gateway
from service.settings.renamed_keys import RENAMED_KEYS
from service.settings.yaml_file import SettingsError, SettingsErrors, to_problems

BACKEND = {"dialect": "openai", "base_url": "https://draw.test/v1"}


def nested(path: str) -> dict[str, object]:
    """A file that holds one key, with a value that is always wrong."""
    section, _, rest = path.partition(".")
    if section == "backends":
        return {"backends": {"alpha": {**BACKEND, rest.removeprefix("*."): []}}}
    return {section: {rest: []} if rest else []}


def problems(folder: Path, content: dict[str, object]) -> list[str]:
    """Every mistake in a file, without the file's name."""
    file = folder / "gateway.yaml"
    file.write_bytes(msgspec.json.encode(content))
    with pytest.raises((SettingsError, SettingsErrors)) as refusal:
        read_gateway(file, {})
    return [str(problem).removeprefix(f"{file}: ") for problem in to_problems(refusal.value)]


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_an_old_key_is_refused_with_its_new_name(tmp_path: Path, old: str, new: str) -> None:
    key = old.rpartition(".")[2]

    (problem,) = problems(tmp_path, nested(old))

    assert problem.endswith(f": `{key}` is called {new} now")


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_each_new_name_is_known(tmp_path: Path, old: str, new: str) -> None:
    content = nested(".".join([*old.split(".")[:-1], new.split(maxsplit=1)[0]]))

    assert not [problem for problem in problems(tmp_path, content) if "unknown field" in problem]


def test_old_keys_in_an_old_section_are_named_at_once(tmp_path: Path) -> None:
    assert problems(tmp_path, {"state": {"answer_seconds": 0.1, "most_waiting": 5}}) == [
        "$: `state` is called redis now",
        "$: `state.answer_seconds` is called redis.timeout_seconds now",
        "$: `state.most_waiting` is called redis.max_waiting now",
    ]
