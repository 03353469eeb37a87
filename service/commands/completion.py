"""`image-gateway completion`: script that completes commands and options in a shell.

Rule: the script has all words in it and does not start Python, which would take a second for each Tab. Values of
options are completed as files.
"""

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
SCRIPT = """_image_gateway() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" path="" words="" part
    for part in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path/$part" in
            {paths}) path="$path/$part" ;;
        esac
    done
    case "$path" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _image_gateway image-gateway
"""


def completion(
    context: typer.Context, shell: Annotated[Literal["bash", "zsh"], typer.Argument(help="Name of the shell.")]
) -> None:
    """Print completions for a shell: `source <(image-gateway completion bash)`."""
    words_by_path = dict(_words("", context.find_root().command))
    paths = "|".join(path for path in words_by_path if path)
    cases = "\n".join(f'        "{path}") words="{" ".join(words)}" ;;' for path, words in words_by_path.items())
    sys.stdout.write((ZSH if shell == "zsh" else "") + SCRIPT.format(paths=paths, cases=cases))


def _words(path: str, command: Any) -> Iterator[tuple[str, list[str]]]:  # noqa: ANN401 (typer has its own copy of click)
    """Yield the words that can follow a command, then those of each command below it."""
    options = [name for param in command.params for name in param.opts if name.startswith("-")]
    below = getattr(command, "commands", {})
    yield path, [*below, *options, "--help"]
    for name, command_below in below.items():
        yield from _words(f"{path}/{name}", command_below)
