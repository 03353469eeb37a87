"""The committed dashboards: equal to the code's output, valid in Grafana's schema, and complete for a reader."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tools.dashboards.__main__ import DASHBOARDS, ROOT, files
from tools.dashboards.grafana import document, problems

GRAFANA = ROOT / "config" / "grafana"
METRIC = re.compile(r"\b(?:team_window_scope:)?gateway[_:][\w:]+")
# Grafana's schema has strings for these: it shows an unknown unit as a suffix, and ignores an unknown colour.
UNITS = {"currencyUSD", "percentunit", "reqps", "ops", "s", "bytes", "none"}
COLORS = {"green", "yellow", "red", "blue"}
FILES = files()
NAMES = [dashboard.name for dashboard in DASHBOARDS]
TEXTS = {dashboard.name: document(dashboard) for dashboard in DASHBOARDS}


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(TEXTS[name])["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_files_equal_the_output_of_the_code(path: Path) -> None:
    assert path.read_text() == FILES[path], "run `make dashboards`"


def test_no_other_file_is_shipped_as_a_dashboard() -> None:
    assert {path for path in FILES if path.suffix == ".json"} == set(GRAFANA.iterdir())


def test_each_metric_is_named_once() -> None:
    sources = [path.read_text() for path in (ROOT / "tools" / "dashboards").glob("*.py")]
    named = Counter(name for text in sources for name in METRIC.findall(text))

    assert named["gateway_requests_total"] == 1
    assert {name: times for name, times in named.items() if times > 1} == {}, "see tools/dashboards/queries.py"


@pytest.mark.parametrize("name", NAMES)
def test_the_dashboards_are_valid_in_grafanas_schema(name: str) -> None:
    assert problems(TEXTS[name]) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("refresh",), 5),
        (("panels", 1, "tittle"), "Requests"),
        (("panels", 1, "targets", 0, "expression"), "up"),
        (("panels", 1, "fieldConfig", "defaults", "unit"), 7),
        (("panels", 1, "options", "colorMode"), "rainbow"),
        (("panels", 1, "gridPos", "w"), "wide"),
        (("templating", "list", 0, "hide"), 17),
    ],
)
def test_a_fault_against_the_schema_is_found(path: tuple[str | int, ...], value: object) -> None:
    wrong = json.loads(TEXTS["overview"])
    place = wrong
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert problems(json.dumps(wrong))


@pytest.mark.parametrize("name", NAMES)
def test_each_panel_has_a_description_a_unit_and_thresholds(name: str) -> None:
    for panel in panels(name):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"], panel["title"]
        assert all(target["expr"] for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_each_unit_and_colour_is_one_that_grafana_has(name: str) -> None:
    for panel in panels(name):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS, panel["title"]
        assert {step["color"] for step in defaults["thresholds"]["steps"]} <= COLORS, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_their_rows_and_have_numbers_of_their_own(name: str) -> None:
    every = json.loads(TEXTS[name])["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in every)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)


@pytest.mark.parametrize("name", NAMES)
def test_each_dashboard_links_to_the_others_and_annotates_deploys_and_reloads(name: str) -> None:
    made = json.loads(TEXTS[name])
    assert [link["tags"] for link in made["links"]] == [made["tags"]]
    assert made["links"][0]["includeVars"]
    assert [note["name"] for note in made["annotations"]["list"]] == ["Deploys", "Reloads", "Refused settings"]
    assert made["templating"]["list"][0]["name"] == "datasource"


def test_dashboards_have_the_variables_that_their_panels_use() -> None:
    for name, text in TEXTS.items():
        made = {variable["name"] for variable in json.loads(text)["templating"]["list"]}
        used = {
            variable
            for variable in ("team", "model", "backend")
            for panel in panels(name)
            if f"${variable}" in str(panel)
        }
        assert used | {"datasource"} == made
