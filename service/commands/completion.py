"""`image-gateway completion`: commands and options for the Tab key of a shell.

Rule: the script is written from the commands themselves and asks nothing while it completes, because a start of Python
for each Tab takes a second. Values of options are completed as files.
"""

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
SCRIPT = """_image_gateway() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" path="" words="" each
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path/$each" in
            {paths}) path="$path/$each" ;;
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
    context: typer.Context, shell: Annotated[Literal["bash", "zsh"], typer.Argument(help="Which shell.")]
) -> None:
    """Print completions for a shell: `source <(image-gateway completion bash)`."""
    words_by_path = dict(_words("", context.find_root().command))
    paths = "|".join(path for path in words_by_path if path)
    cases = "\n".join(f'        "{path}") words="{" ".join(words)}" ;;' for path, words in words_by_path.items())
    sys.stdout.write((ZSH if shell == "zsh" else "") + SCRIPT.format(paths=paths, cases=cases))


def _words(path: str, command: Any) -> Iterator[tuple[str, list[str]]]:  # noqa: ANN401 (typer brings a click of its own)
    """Yield what can follow a command, and each command below it."""
    options = [name for param in command.params for name in param.opts if name.startswith("-")]
    below = getattr(command, "commands", {})
    yield path, [*below, *options, "--help"]
    for name, command_below in below.items():
        yield from _words(f"{path}/{name}", command_below)
