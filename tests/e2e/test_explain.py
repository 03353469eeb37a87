"""`image-gateway explain`: the gateway's decisions, without a gateway."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.commands.cli import app
from tests.support.images import data_url, png

TEAMS = """\
teams:
  pinned: {backends: [together]}
  cheap: {tiers: [low]}
"""
FOX = {"model": "gpt-image-2", "prompt": "a red fox", "size": "1024x1024"}
SANDBOX_WAITS = "The sandbox stands in only where no other backend serves the model."


class Terminal:
    """A terminal with its own settings, and the keys of chosen vendors."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder = folder
        self.settings = folder / "config"
        shutil.copytree(config, self.settings)
        (self.settings / "teams.yaml").write_text(TEAMS)

    def explain(self, body: Any, *options: str, **keys: str) -> Result:
        """Explain a request."""
        file = self.folder / "request.json"
        file.write_text(body if isinstance(body, str) else json.dumps(body))
        return self.run(str(file), *options, **keys)

    def run(self, *words: str, stdin: str | None = None, **keys: str) -> Result:
        """Run the command."""
        environment = {
            "IMAGE_GATEWAY_CONFIG": str(self.settings),
            "OPENAI_API_KEY": None,
            "TOGETHER_API_KEY": None,
            "COLUMNS": "70",
            **keys,
        }
        return CliRunner().invoke(app, ["explain", *words], env=environment, input=stdin)

    def says(self, body: Any, *options: str, **keys: str) -> list[str]:
        """Return the output of a successful command, line by line, with single spaces."""
        result = self.explain(body, *options, **keys)
        assert result.exit_code == 0, result.output
        return [" ".join(line.split()) for line in result.stdout.splitlines()]


@pytest.fixture
def terminal(tmp_path: Path, config: Path) -> Terminal:
    return Terminal(tmp_path, config)


def test_candidates_are_listed_with_quotes_and_other_routes_with_reasons(terminal: Terminal) -> None:
    assert terminal.says(FOX, "--all") == [
        "gpt-image-2 by priority",
        "backend model at most price notes",
        "1 openai gpt-image-2 $0.211085 gpt-image-2@2026-04-21",
        "2 together openai/gpt-image-2 $0.053 together/openai/gpt-image-2@2026-04-21",
        "not asked model because",
        "sandbox gpt-image-2 The backend 'sandbox' is not switched on.",
    ]


def test_unsupported_and_emulated_fields_are_reported(terminal: Terminal) -> None:
    high = terminal.says(FOX | {"quality": "high", "n": 2}, "--all")
    webp = terminal.says(FOX | {"output_format": "webp", "n": 9, "model": "openai/gpt-image-2"}, "--all")

    assert high[2] == "1 openai gpt-image-2 $0.42217 gpt-image-2@2026-04-21"
    assert high[4] == "together openai/gpt-image-2 quality is not supported by provider together."
    assert webp[3].endswith("$0.477 together/openai/gpt-image-2@2026-04-21 transcoded=webp, n=3 calls")


def test_previews_are_part_of_the_quote(terminal: Terminal) -> None:
    output = terminal.says(FOX | {"stream": True, "partial_images": 2}, "--all")

    assert output[2].split()[3] == "$0.217085"


def test_only_backends_with_a_key_are_enabled(terminal: Terminal) -> None:
    output = terminal.says(FOX, TOGETHER_API_KEY="tgp-operator")

    assert output[2].startswith("1 together ")
    assert output[4] == "openai gpt-image-2 The backend 'openai' is not switched on."


def test_the_sandbox_is_a_candidate_where_it_is_enabled(terminal: Terminal) -> None:
    gateway = terminal.settings / "gateway.yaml"
    gateway.write_text(gateway.read_text().replace("enabled: false", "enabled: true"))

    assert terminal.says(FOX)[2].startswith("1 sandbox gpt-image-2 ")
    assert terminal.says(FOX, "--all")[-1] == f"sandbox gpt-image-2 {SANDBOX_WAITS}"


def test_a_team_gets_only_its_allowed_backends(terminal: Terminal) -> None:
    output = terminal.says(FOX, "--all", "--team", "pinned")

    assert output[2].startswith("1 together ")
    assert output[4] == "openai gpt-image-2 Team 'pinned' may not use the backend 'openai'."


def route_by(terminal: Terminal, policy: str) -> None:
    models, head = terminal.settings / "models.yaml", "  gpt-image-2: &gpt-image-2\n"
    models.write_text(models.read_text().replace(head, f"{head}    policy: {policy}\n"))


def test_weights_and_the_random_order_of_a_request_are_reported(terminal: Terminal) -> None:
    route_by(terminal, "weighted")

    output = [terminal.says(FOX, "--all", "--request-id", f"req_{number}") for number in range(8)]

    assert output[7][0] == "gpt-image-2 by weighted; random order of request req_7"
    assert output[7][2].endswith(" weight=1")
    assert {lines[2].split()[1] for lines in output} == {"openai", "together"}


def test_the_cheapest_policy_uses_the_quotes_of_the_request(terminal: Terminal) -> None:
    route_by(terminal, "cheapest")

    output = terminal.says(FOX, "--all")

    assert [line.split()[1] for line in output[2:4]] == ["together", "openai"]


def test_the_edit_option_explains_an_edit(terminal: Terminal) -> None:
    change = {"prompt": "at night", "images": [{"image_url": data_url(png())}, {"file_id": "img_1"}]}

    output = terminal.says(change, "--edit", "--all")

    assert output[2].startswith("1 openai gpt-image-2 ")
    assert output[4] == ("together openai/gpt-image-2 At most 1 pictures can be given; got 2 with provider together.")


def test_a_narrow_window_cuts_off_no_text(terminal: Terminal) -> None:
    assert terminal.says(FOX, "--all", COLUMNS="10") == terminal.says(FOX, "--all", COLUMNS="200")


def test_a_body_comes_from_standard_input(terminal: Terminal) -> None:
    result = terminal.run("-", "--all", stdin=json.dumps(FOX))

    assert (result.exit_code, result.stdout.split()[0]) == (0, "gpt-image-2")


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        ("{", ["--all"], "The body is not valid JSON"),
        ({"model": "gpt-image-2"}, ["--all"], "prompt: Missing required parameter: 'prompt'."),
        (FOX | {"images": []}, ["--all"], "images: Unknown parameter: 'images'."),
        (FOX, ["--all", "--edit"], "images: Missing required parameter: 'images'."),
        (FOX | {"model": "gpt-image-9"}, ["--all"], "model: The model 'gpt-image-9' does not exist."),
        (FOX | {"quality": "ultra"}, ["--all"], "quality: Invalid value 'ultra' for quality."),
        (FOX, ["--all", "--team", "ghosts"], "team: There is no such team."),
        (FOX, ["--all", "--team", "cheap"], "quality: Team 'cheap' has to name a quality: low."),
    ],
)
def test_an_invalid_request_is_one_line(terminal: Terminal, body: Any, options: list[str], reason: str) -> None:
    result = terminal.explain(body, *options)

    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith(f"image-gateway: {reason}")
    assert result.stderr.count("\n") == 1


def test_a_missing_file_is_one_line(terminal: Terminal) -> None:
    result = terminal.run(str(terminal.folder / "nothing.json"))

    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing.json cannot be read: No such file or directory." in result.stderr


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        (FOX, [], "model: No backend that is switched on serves the model 'gpt-image-2'."),
        (
            FOX | {"quality": "high"},
            ["--all", "--team", "pinned"],
            "model: Team 'pinned' may not use the backend 'openai', and no other one can draw this.",
        ),
    ],
)
def test_without_a_candidate_the_command_gives_reasons_and_fails(
    terminal: Terminal, body: Any, options: list[str], reason: str
) -> None:
    result = terminal.explain(body, *options)

    assert (result.exit_code, result.stderr) == (2, f"image-gateway: {reason}\n")
    assert result.stdout.splitlines()[1].split() == ["not", "asked", "model", "because"]
