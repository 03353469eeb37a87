"""Line numbers for messages about mistakes in settings files.

Rule: a file is parsed again only for a message. A key that is missing from the file has the line of the closest key
above it.

Fails with: nothing. A message about a file that cannot be read has no line.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from service.settings.struct_mistakes import Steps
from service.settings.yaml_file import SettingsError

MERGE = "<<"


def with_lines(problems: Iterable[Exception]) -> Iterator[str]:
    """Yield the message of each problem, with the line of its file."""
    trees: dict[Path, Any] = {}
    for problem in problems:
        message, file = str(problem), getattr(problem, "file", None)
        if isinstance(file, Path) and isinstance(problem, SettingsError):
            if file not in trees:
                trees[file] = _node_tree(file)
            line = _find_line(trees[file], problem.steps)
            message = message.replace(f"{file}: ", f"{file}: line {line}: ", 1) if line else message
        yield message


def _find_line(node: Any, steps: Steps) -> int | None:  # noqa: ANN401 (PyYAML's nodes)
    """Return the line of the deepest step that the file has."""
    line = None
    for step in steps:
        child = _child(node, step)
        if child is None:
            break
        line, node = child
    return line


def _node_tree(file: Path) -> Any:  # noqa: ANN401 (PyYAML's nodes)
    try:
        return yaml.compose(file.read_text("utf-8"), yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def _child(node: Any, step: str | int) -> tuple[int, Any] | None:  # noqa: ANN401 (likewise)
    """Return the line and the node of an entry, or None."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == str(step):
            return key.start_mark.line + 1, value
    return next((child for merged in _merged_mappings(node) if (child := _child(merged, step))), None)


def _merged_mappings(node: Any) -> Iterable[Any]:  # noqa: ANN401 (likewise)
    """Yield the mappings that a mapping merges in."""
    for key, value in node.value:
        if key.value == MERGE:
            yield from value.value if isinstance(value, yaml.SequenceNode) else [value]
