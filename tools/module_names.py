"""`python -m tools.module_names --seed 7`: draws modules of `service/` to test whether their paths explain them.

A reader who sees nothing but the list of paths guesses what each drawn module does. `--answers` prints the first
sentence of each docstring to compare with. A module that was missed gets another name.
"""

import argparse
import ast
import random
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DRAWN = 30


def module_paths() -> list[str]:
    """Return the paths of all modules of `service/` that hold code, sorted."""
    files = (ROOT / "service").rglob("*.py")
    return sorted(str(file.relative_to(ROOT)) for file in files if file.name != "__init__.py")


def draw(seed: int, count: int = DRAWN) -> list[str]:
    """Return `count` paths, the same for the same seed and the same modules."""
    return sorted(random.Random(seed).sample(module_paths(), count))  # noqa: S311 (a draw, no secret)


def first_sentence(path: str) -> str:
    """Return the first sentence of a module's docstring."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the drawn paths, with `--answers` their first sentences."""
    parser = argparse.ArgumentParser(prog="python -m tools.module_names")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=DRAWN)
    parser.add_argument("--answers", action="store_true", help="the docstrings beside the paths")
    options = parser.parse_args(arguments)
    for path in draw(options.seed, options.count):
        print(f"{path}: {first_sentence(path)}" if options.answers else path)


if __name__ == "__main__":
    main()
