"""Stacks as a tree of boxes: each caller with its callees, without small boxes. Pure.

Rule: a box counts every sample that went through it, also those of callees that are left out. Its colour is that of the
area its samples would have if they ended there. The largest callee comes first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tools.bench.flames.areas import REST, area_by_prefix
from tools.bench.flames.stacks import Frame, Stacks


@dataclass(slots=True, kw_only=True)
class Node:
    """A frame below certain callers."""

    frame: Frame
    area: str
    count: int = 0
    callees: dict[Frame, "Node"] = field(default_factory=dict)

    def called(self, frame: Frame) -> "Node":
        """Return the node of a callee, new if needed."""
        if frame not in self.callees:
            self.callees[frame] = Node(frame=frame, area=area_by_prefix(frame) or self.area)
        return self.callees[frame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Position of a node: samples to the left of it, its own samples, frames below it."""

    frame: Frame
    area: str
    left: int
    count: int
    depth: int


def grown(stacks: Stacks) -> Node:
    """Build a tree. Its root stands for all samples and is no function."""
    root = Node(frame=Frame("all", ""), area=REST)
    for stack, count in stacks.items():
        node = root
        node.count += count
        for frame in stack:
            node = node.called(frame)
            node.count += count
    return root


def boxes(root: Node, least: float) -> list[Box]:
    """Return all boxes that have at least this share of all samples."""
    return list(_boxes(root, 0, 0, root.count * least))


def _boxes(node: Node, left: int, depth: int, least: float) -> Iterator[Box]:
    yield Box(frame=node.frame, area=node.area, left=left, count=node.count, depth=depth)
    for callee in sorted(node.callees.values(), key=lambda one: (-one.count, one.frame)):
        if callee.count >= least:
            yield from _boxes(callee, left, depth + 1, least)
            left += callee.count
