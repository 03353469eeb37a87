"""YAML read strictly: an error names file, place and reason."""

import shutil
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings.gateway_file import GatewayFile
from service.settings.models_file import ModelsFile
from service.settings.reloadable_files import ReloadableFiles
from service.settings.teams import TeamsFile
from service.settings.yaml_file import Entry, FilePlace, SettingsError, read_yaml
from tests.support.profiles import examples

CONFIG = Path(__file__).parents[2] / "config"


class Shelf(Entry, frozen=True):
    """A part of a file."""

    count: int
    label: str = ""
    inner: list[dict[str, int]] = []


FILE = Path("shop.yaml")
PLACE = FilePlace(FILE) / "shelves" / 2


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: 1\na: 2\n", "line 2, column 1", 'found duplicate key "a"'),
        ("a: {b: 1, b: 1}\n", "line 1, column 11", 'found duplicate key "b"'),
        ("a: [1\n", "line 2, column 1", "expected ',' or ']'"),
        ("a: *b\n", "line 1, column 4", "undefined alias 'b'"),
        ("a: !!python/name:os.system\n", "line 1, column 4", "could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1", "but found another document"),
        ("\ta: 1\n", "line 1, column 1", "cannot start any token"),
        ("a: \x07\n", "somewhere", "unacceptable character #x0007"),
        ("a: 2026-02-30\n", "line 1, column 4", "day is out of range for month"),
        ("a: !!int one\n", "line 1, column 4", "cannot be read as int: invalid literal for int()"),
        ("a: !!int ''\n", "line 1, column 4", "cannot be read as int: string index out of range"),
        ("a:\n  b: !!bool maybe\n", "line 2, column 6", "cannot be read as bool: 'maybe'"),
        ("--- !!omap\n- x: 1\n- x: 2\n", "somewhere", "AssertionError"),
        ("a: " + "9" * 5000 + "\n", "line 1, column 4", "cannot be read as int: Exceeds the limit"),
        ('a: "\\0"\n', "line 1, column 4", "holds a NUL or half a character"),
        ('"\\ud800": 1\n', "line 1, column 1", "holds a NUL or half a character"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_place(tmp_path: Path, text: str, place: str, reason: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)

    with pytest.raises(SettingsError) as refused:
        read_yaml(file)

    assert str(refused.value).startswith(f"{file}: {place}: ")
    assert reason in str(refused.value)


SCALARS = st.sampled_from(
    [
        "a",
        "''",
        '"\\0"',
        '"\\ud800"',
        "1e-300",
        ".nan",
        "0x",
        "1:2",
        "2026-02-30",
        "~",
        "*a",
        "&a",
        "- x",
        "? ",
        "<<",
        "!!omap []",
    ]
)
TAGS = st.sampled_from(
    [
        "",
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!null ",
        "!!timestamp ",
        "!!binary ",
        "!!set ",
        "!!omap ",
        "!!pairs ",
        "!!str ",
        "!x ",
    ]
)
VALUES = st.builds(str.__add__, TAGS, SCALARS | st.text(max_size=12))
LINES = st.builds("{}{}: {}".format, st.sampled_from(["", "  ", "- ", "{", "? "]), VALUES, VALUES)


@settings(max_examples=examples(400))
@given(st.text() | st.lists(LINES | VALUES, max_size=6).map("\n".join))
def test_any_text_is_read_or_refused_with_the_files_name(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        for kind in (GatewayFile, ModelsFile, TeamsFile):
            try:
                FilePlace(file).decode(read_yaml(file), kind)
            except SettingsError as refused:
                assert str(refused).startswith(f"{file}: ")  # noqa: PT017 (a refusal is one of two ways)


@pytest.mark.parametrize("name", ["models.yaml", "teams.yaml"])
@pytest.mark.parametrize(
    "text", ["a: !!bool maybe", "a: !!int ''", 'a: "\\0"', "a: &b [*b]", "teams: &b {x: *b}", "\0"]
)
def test_while_running_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, text: str) -> None:
    shutil.copytree(CONFIG, tmp_path / "config", ignore=shutil.ignore_patterns("grafana", "prometheus"))
    files = ReloadableFiles(
        folder=tmp_path / "config", today=lambda: date(2026, 11, 30), backends={"openai", "together", "sandbox"}
    )
    (tmp_path / "config" / "teams.yaml").write_text("teams: {search: {}}")
    files.read_first()
    (tmp_path / "config" / name).write_text(text)
    assert str(files.reread()).startswith(str(tmp_path / "config" / name))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.yaml: cannot be read: .*No such file"):
        read_yaml(tmp_path / "missing.yaml")


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"a: \xff")

    with pytest.raises(SettingsError, match=r"latin\.yaml: cannot be read: 'utf-8' codec"):
        read_yaml(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: yes\n", {"a": "yes"}),
        ("a: 012\n", {"a": 12}),
        ("a: true\n", {"a": True}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}\n", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_yaml_is_version_1_2(tmp_path: Path, text: str, value: object) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(text)

    assert read_yaml(file) == value


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"count": "1"}, "shop.yaml: $.shelves[2].count: Expected `int`, got `str`"),
        ({"count": True}, "shop.yaml: $.shelves[2].count: Expected `int`, got `bool`"),
        ({"count": 1.5}, "shop.yaml: $.shelves[2].count: Expected `int`, got `float`"),
        ({}, "shop.yaml: $.shelves[2]: Object missing required field `count`"),
        (
            {"count": 1, "cuont": 2},
            "shop.yaml: $.shelves[2]: Object contains unknown field `cuont`. Did you mean 'count'?",
        ),
        ({"count": 1, "inner": [{}, {"x": "y"}]}, "shop.yaml: $.shelves[2].inner[1][...]: Expected `int`, got `str`"),
        (None, "shop.yaml: $.shelves[2]: Expected `object`, got `null`"),
        ([], "shop.yaml: $.shelves[2]: Expected `object`, got `array`"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(value: object, error: str) -> None:
    with pytest.raises(SettingsError) as refused:
        PLACE.decode(value, Shelf)

    assert str(refused.value) == error


def test_a_right_entry_is_decoded() -> None:
    assert PLACE.decode({"count": 3, "label": "top"}, Shelf) == Shelf(count=3, label="top")


def test_a_table_names_the_entry_that_is_wrong() -> None:
    good = {"count": 1}

    assert PLACE.table({"a": good, "b": good}, Shelf) == {"a": Shelf(count=1), "b": Shelf(count=1)}
    assert PLACE.table(None, Shelf) == {}
    with pytest.raises(SettingsError, match=r"shop\.yaml: \$\.shelves\[2\]\.b\.count: Expected `int`"):
        PLACE.table({"a": good, "b": {"count": "x"}}, Shelf)
    with pytest.raises(SettingsError, match=r"shop\.yaml: \$\.shelves\[2\]: a key is wrong: Expected `str`, got `int`"):
        PLACE.table({1: good}, Shelf)


@pytest.mark.parametrize(
    ("amount", "per", "nano"),
    [
        ("0", 1, 0),
        ("0.053", 1, 53_000_000),
        ("0.000000001", 1, 1),
        ("30", 1_000_000, 30_000),
        ("0.001", 1_000_000, 1),
        ("1000000", 1, 1_000_000_000_000_000),
    ],
)
def test_dollars_become_whole_nano_dollars(amount: str, per: int, nano: int) -> None:
    assert PLACE.to_nano_usd(Decimal(amount), per) == nano


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ("NaN", "NaN is not an amount between 0 and 1000000 US dollars"),
        ("sNaN", "sNaN is not an amount between 0 and 1000000 US dollars"),
        ("Infinity", "Infinity is not an amount between 0 and 1000000 US dollars"),
        ("-Infinity", "-Infinity is not an amount between 0 and 1000000 US dollars"),
        ("-0.01", "-0.01 is not an amount between 0 and 1000000 US dollars"),
        ("1000000.01", "1000000.01 is not an amount between 0 and 1000000 US dollars"),
        ("1E+999999", "1E+999999 is not an amount between 0 and 1000000 US dollars"),
        ("0.0000000001", "1E-10 is finer than a billionth of a US dollar"),
    ],
)
def test_what_is_no_amount_is_refused(amount: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        PLACE.to_nano_usd(Decimal(amount))

    assert str(refused.value) == f"shop.yaml: $.shelves[2]: {reason}"


def test_a_name_has_to_be_defined() -> None:
    assert PLACE.lookup({"b": 1, "a": 2}, "b") == 1
    with pytest.raises(SettingsError) as refused:
        PLACE.lookup({"b": 1, "a": 2}, "c")
    with pytest.raises(SettingsError) as bare:
        PLACE.lookup({}, "c")

    assert str(refused.value) == "shop.yaml: $.shelves[2]: 'c' is not defined; defined are a, b"
    assert str(bare.value) == "shop.yaml: $.shelves[2]: 'c' is not defined; defined are none"
