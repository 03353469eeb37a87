"""What the flame graphs make of a profiler's stacks."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import pairwise

import pytest

from tests.support.sources import ROOT
from tools.bench.flames.areas import (
    AREAS,
    BODIES,
    GATEWAY_CODE,
    LOOP,
    PREFIXES,
    REDIS,
    REST,
    SERVER,
    VENDOR,
    area,
    shares,
    tenths,
)
from tools.bench.flames.flame_graph import MAX_BYTES, Caption, fitting, flame_graph
from tools.bench.flames.report import BEGIN, END, Seen, Shares, section
from tools.bench.flames.spy import HINT, reason
from tools.bench.flames.stacks import Frame, Stack, frame, module, read
from tools.bench.flames.tree import boxes, grown
from tools.bench.report import placed

START = "_run_module_as_main (<frozen runpy>);<module> (service/__main__.py);Runner.run (asyncio/runners.py)"
POOL = "Thread._bootstrap (threading.py);_worker (concurrent/futures/thread.py)"
EDGE = "Edge.__call__ (service/api/http/request_context.py)"
HOLD = "HoldQuota.__call__ (service/usecases/money/hold_quota.py)"
EXECUTE = "Redis.execute_command (redis/asyncio/client.py)"
LINES = (
    f"{START} 10",
    f"{START};{EDGE} 20",
    f"{START};{HOLD};{EXECUTE};Timeout.__aenter__ (asyncio/timeouts.py) 30",
    f"{START};{HOLD};replace (dataclasses.py);__create_fn__.<locals>.__init__ (<string>) 25",
    f"{POOL} 1000",
    f"{POOL};_WorkItem.run (concurrent/futures/thread.py);opened (tempfile.py) 14",
    f"{START};{EDGE};once (copy.py) 1",
)
CAPTION = Caption(title="1 KB <&>", about="100 samples.")


def stack(*names: str) -> Stack:
    """Of frames like `module:function`."""
    return tuple(Frame(*name.split(":")) for name in names)


def test_what_everything_stands_upon_is_one_frame() -> None:
    found = read(LINES)
    assert found[stack("event loop:")] == 10
    assert found[stack("event loop:", "service/api/http/request_context:Edge.__call__")] == 20
    assert found[stack("thread of a pool:", "tempfile:opened")] == 14


def test_a_thread_that_waits_for_work_is_left_out() -> None:
    assert read(LINES).total() == 100


def test_stacks_that_differ_in_lines_alone_are_one() -> None:
    assert read([f"{START};{EDGE} 1", f"{START};{EDGE} 2"]) == {
        stack("event loop:", "service/api/http/request_context:Edge.__call__"): 3
    }


def test_a_sample_without_frames_counts() -> None:
    assert read([" 2"]) == {(): 2}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("service/api/http/request_context.py", "service/api/http/request_context"),
        ("/home/someone/app/.venv/lib/python3.11/site-packages/redis/client.py", "redis/client"),
        ("/usr/lib/python3.12/json/__init__.py", "json"),
        ("/home/someone/app/service/server.py", "service/server"),
        ("/script.py", "script"),
        ("<string>", "<string>"),
    ],
)
def test_no_path_of_a_machine_remains(file: str, name: str) -> None:
    assert module(file) == name


def test_a_file_may_be_called_anything() -> None:
    assert frame("f (<made check() for a.B>)") == Frame("<made check() for a.B>", "f")
    with pytest.raises(ValueError, match="no frame"):
        frame("f")


@pytest.mark.parametrize(
    ("names", "whose"),
    [
        (["event loop:"], LOOP),
        (["event loop:", "asyncio/tasks:gather"], LOOP),
        (["event loop:", "service/usecases/x:f", "redis/client:f", "asyncio/timeouts:f"], REDIS),
        (["event loop:", "redis/client:f", "service/adapters/redis/lua_scripts:f"], REDIS),
        (["event loop:", "service/api/http/request_context:f", "service/domain/image_spec:f", "enum:f"], GATEWAY_CODE),
        (["event loop:", "service/api/routes/images:f"], SERVER),
        (["event loop:", "service/api/routes/images:f", "service/api/http/bodies:f"], BODIES),
        (["event loop:", "service/adapters/backends/openai:f"], BODIES),
        (["event loop:", "service/adapters/backends/http:f"], VENDOR),
        (["event loop:", "redistribution:f"], LOOP),
        (["thread of a pool:", "tempfile:f"], REST),
        ([], REST),
    ],
)
def test_the_deepest_frame_that_is_known_decides(names: list[str], whose: str) -> None:
    assert area(stack(*names)) == whose


def test_every_area_but_the_rest_has_a_prefix() -> None:
    assert {*PREFIXES.values(), REST} == set(AREAS)


def test_every_prefix_of_the_gateway_is_a_module_or_a_package() -> None:
    own = [ROOT / prefix for prefix in PREFIXES if prefix.startswith("service/")]
    assert [path for path in own if not path.with_suffix(".py").exists() and not (path / "__init__.py").exists()] == []


def test_shares_are_by_area() -> None:
    found = shares(read(LINES))
    assert {name: share for name, share in found.items() if share} == {
        LOOP: 10.0,
        SERVER: 21.0,
        REDIS: 30.0,
        GATEWAY_CODE: 25.0,
        REST: 14.0,
    }
    assert list(found) == list(AREAS)


@pytest.mark.parametrize("counts", [[1, 1, 1], [1, 2, 3, 0, 991], [7], [3333, 3333, 3334], [1] * 9])
def test_shares_add_up(counts: list[int]) -> None:
    found = tenths(counts)
    assert sum(round(one * 10) for one in found) == 1000
    assert all(abs(one - count * 100 / sum(counts)) <= 0.1 for one, count in zip(found, counts, strict=True))


def test_nothing_has_no_shares() -> None:
    with pytest.raises(ValueError, match="no samples"):
        shares(Counter())


def test_what_is_too_small_has_no_box_and_its_caller_keeps_it() -> None:
    found = {str(box.frame): box for box in boxes(grown(read(LINES)), 0.02)}
    assert "copy:once" not in found
    assert found["service/api/http/request_context:Edge.__call__"].count == 21


def test_boxes_lie_above_their_callers() -> None:
    found = boxes(grown(read(LINES)), 0)
    assert (found[0].count, found[0].depth, found[0].left) == (100, 0, 0)
    for box in found[1:]:
        assert any(
            under.depth == box.depth - 1 and under.left <= box.left and box.left + box.count <= under.left + under.count
            for under in found
        )
    for depth in {box.depth for box in found}:
        row = sorted((box.left, box.left + box.count) for box in found if box.depth == depth)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(row))


def test_a_box_that_nobody_knows_has_its_callers_colour() -> None:
    found = {str(box.frame): box.area for box in boxes(grown(read(LINES)), 0)}
    assert found["asyncio/timeouts:Timeout.__aenter__"] == REDIS
    assert found["tempfile:opened"] == REST


def test_a_picture_is_well_formed_and_brings_everything_along() -> None:
    text = flame_graph(read(LINES), CAPTION)
    root = ET.fromstring(text)  # noqa: S314 (it is our own)
    kinds = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()}
    assert kinds == {"svg", "title", "rect", "g", "path", "text"}
    assert "1 KB <&>" in (element.text for element in root.iter())
    assert not re.search(r"(?:href|src|url\(|script|style=)", text)
    assert "Boxes below 0.4 % are left out." in text
    assert "service/usecases/money/hold_quota:HoldQuota.__call__ 55.0 %" in text


def test_a_picture_is_small_and_says_what_that_cost() -> None:
    wide = {stack("event loop:", *(f"a{number}/{depth}:f" for depth in range(30))): 1 for number in range(200)}
    text = flame_graph(wide, CAPTION)
    assert len(text.encode()) <= MAX_BYTES
    assert "Boxes below 0.4 %" not in text


def test_a_name_is_cut_where_its_box_ends() -> None:
    one = Frame("service/api/http/request_context", "Edge.__call__")
    assert [fitting(one, letters) for letters in (46, 45, 13, 12, 4, 3, -1)] == [
        "service/api/http/request_context:Edge.__call__",
        "Edge.__call__",
        "Edge.__call__",
        "Edge.__call…",
        "Edg…",
        "",
        "",
    ]


def test_who_may_not_look_is_told_what_to_do() -> None:
    text = reason("Error: Permission Denied: Try again as root\n\nStack backtrace:\n 0: somewhere\n")
    assert text.startswith(HINT)
    assert "somewhere" not in text
    assert HINT not in reason("Error: no such process")


def seen(slug: str) -> Seen:
    """A case."""
    return Seen(
        case=f"case {slug}",
        slug=slug,
        seconds=2,
        requests=100,
        cpu_seconds=1.5,
        samples=1234,
        shares=shares(read(LINES)),
    )


def test_the_table_stands_between_marks_of_its_own() -> None:
    run = Shares(
        when="2026-11-21",
        machine="a machine",
        load="0.1",
        versions={"py-spy": "0.4.3"},
        at_once=32,
        rate=200,
        cases=[seen("kb1"), seen("edit")],
    )
    written = placed(f"before\n{BEGIN} -->\nold\n{END}\nafter\n", section(run), BEGIN, END)
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nafter\n")
    assert "old" not in written
    assert "| Redis client | 30.0 | 30.0 |" in written
    assert "| samples | 1,234 | 1,234 |" in written
    assert re.findall(r"!\[.*?\]\((.*?)\)", written) == ["bench/flames/kb1.svg"]
    assert placed(written, section(run), BEGIN, END) == written
