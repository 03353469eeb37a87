"""The port of results: in memory, on one server, and on a cluster."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.redis.result_store import RedisResultStore
from service.domain.generation import GeneratedImage, Generation, Usage
from service.domain.image_spec import Size
from service.usecases.ports.result_store import Result, ResultStats, ResultStore
from tests.fakes.result_store import FakeResultStore
from tests.support.cluster import CLUSTER
from tests.support.profiles import examples
from tests.support.result_stores import (
    MAX_BYTES,
    PIXELS,
    build_generation,
    build_image,
    build_result,
    open_result_store,
)

DAY = 86_400.0


@pytest.fixture(params=["fake", "server", CLUSTER])
async def results(request: pytest.FixtureRequest) -> AsyncIterator[ResultStore]:
    url = {"fake": "", "server": "redis_url", "cluster": "cluster_url"}[request.param]
    async with open_result_store(request.param, request.getfixturevalue(url) if url else "") as results:
        yield results


BARE = Generation(images=(build_image(),))
PURCHASES = {
    "full": build_generation(),
    "bare": BARE,
    "ten": build_generation(images=tuple(build_image(PIXELS[:size], f"prompt {size}") for size in range(1, 11))),
    "large": Generation(images=(build_image(PIXELS * 1200),)),
    "nothing counted": build_generation(usage=Usage(), svg_usage={}),
}


@pytest.mark.parametrize("name", PURCHASES)
async def test_what_comes_out_is_what_went_in(results: ResultStore, name: str) -> None:
    stored = build_result(generation=PURCHASES[name])
    assert await results.get("search", "r1") is None
    assert await results.put("search", "r1", stored, DAY)
    for _ in range(2):
        assert await results.get("search", "r1") == stored


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_base64_is_kept_from_whatever_it_lies_in(
    results: ResultStore, kind: type[bytearray] | type[memoryview]
) -> None:
    buffer = kind(build_image().base64)
    assert await results.put(
        "search", "r1", build_result(generation=Generation(images=(GeneratedImage(base64=buffer),))), DAY
    )
    if isinstance(buffer, bytearray):
        buffer[:] = b"A" * len(buffer)
    result = await results.get("search", "r1")
    assert result
    assert result.generation == BARE
    assert type(result.generation.images[0].base64) is bytes


async def test_teams_and_names_are_apart_and_the_last_one_counts(results: ResultStore) -> None:
    others = {("search", "r2"): 2, ("ads", "r1"): 3, ("_shared", "r1"): 4, ("search", "r1"): 5}
    await results.put("search", "r1", build_result(cost=1), DAY)
    for (team, name), cost in others.items():
        assert await results.put(team, name, build_result(cost=cost), DAY)
    for (team, name), cost in others.items():
        assert await results.get(team, name) == build_result(cost=cost)


@pytest.mark.parametrize("seconds", [0, -1])
async def test_nothing_is_kept_for_no_time(results: ResultStore, seconds: float) -> None:
    assert not await results.put("search", "r1", build_result(), seconds)
    assert await results.get("search", "r1") is None


@pytest.mark.parametrize("image_count", [1, 2])
async def test_nothing_is_kept_that_is_too_large(results: ResultStore, image_count: int) -> None:
    large = build_image(b"\0" * (MAX_BYTES // image_count + 1))
    assert not await results.put(
        "search", "r1", build_result(generation=Generation(images=(large,) * image_count)), DAY
    )
    assert await results.stats(None, None) == ResultStats(results=0, size_bytes=0)


@pytest.mark.parametrize("base64", [b"AAA", b"AAAA\n", b"AA=A", b"A-A_", "AAAé".encode()])
async def test_nothing_is_kept_that_is_not_base64(results: ResultStore, base64: bytes) -> None:
    spoilt = build_result(generation=Generation(images=(build_image(), GeneratedImage(base64=base64))))
    assert not await results.put("search", "r1", spoilt, DAY)
    assert await results.get("search", "r1") is None


MODELS = ("flux.2/pro", "flux.2/pro[max]", "flux?2/*")
TEAMS = ("search", "search-2", "_shared")


@pytest.fixture
async def stocked(results: ResultStore) -> ResultStore:
    """Two results of every team and model, of 4 KB."""
    for team in TEAMS:
        for model in MODELS:
            for number in range(2):
                stored = build_result(model=model, generation=BARE)
                assert await results.put(team, f"{model}:{number}", stored, DAY)
    return results


@pytest.mark.parametrize(
    ("team", "model", "count"),
    [
        (None, None, 18),
        ("search", None, 6),
        ("_shared", None, 6),
        (None, "flux?2/*", 6),
        ("search", "flux.2/pro", 2),
        ("search-2", "flux.2/pro[max]", 2),
        ("search", "flux.2/pr", 0),
        ("sear", None, 0),
        ("*", None, 0),
        ("search*", "flux.2/pro", 0),
        ("[s]earch", None, 0),
    ],
)
async def test_what_is_forgotten_is_what_was_meant(
    stocked: ResultStore, team: str | None, model: str | None, count: int
) -> None:
    stats = await stocked.stats(team, model)
    assert stats
    assert stats.results == count
    assert count * len(PIXELS) <= stats.size_bytes <= count * (len(PIXELS) + 500)
    assert await stocked.purge(team, model) == count
    assert await stocked.stats(team, model) == ResultStats(results=0, size_bytes=0)
    for team_name in TEAMS:
        for known in MODELS:
            gone = (team or team_name, model or known) == (team_name, known)
            assert (await stocked.get(team_name, f"{known}:1") is None) == gone
    assert await stocked.purge(None, None) == 18 - count


async def test_hundreds_of_results_are_counted_and_forgotten(results: ResultStore) -> None:
    stored = [build_result(model=MODELS[number % 2], generation=BARE) for number in range(700)]
    assert all(
        await asyncio.gather(*(results.put("search", f"r{n}", team_name, DAY) for n, team_name in enumerate(stored)))
    )
    assert await results.purge("search", MODELS[0]) == 350
    stats = await results.stats("search", None)
    assert stats
    assert stats.results == 350


@pytest.mark.parametrize("kind", ["fake", "server", CLUSTER])
async def test_without_the_store_everything_is_a_miss(kind: str) -> None:
    scheme = "redis+cluster" if kind == "cluster" else "redis"
    results: ResultStore = FakeResultStore() if kind == "fake" else RedisResultStore(f"{scheme}://127.0.0.1:9")
    if isinstance(results, FakeResultStore):
        await results.put("search", "r1", build_result(), DAY)
        results.down = True
    assert await results.get("search", "r1") is None
    assert not await results.put("search", "r1", build_result(), DAY)
    assert await results.purge(None, None) is None
    assert await results.stats("search", "painter") is None
    if isinstance(results, RedisResultStore):
        await results.close()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(0, 2**53)
SAID = st.none() | TEXTS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PURCHASED = st.builds(
    Generation,
    images=st.lists(st.builds(build_image, st.binary(min_size=1, max_size=200), SAID), max_size=4).map(tuple),
    created=st.none() | COUNTS,
    size=st.none() | st.builds(Size, st.integers(1, 999_999), st.integers(1, 999_999)),
    tier=SAID,
    background=SAID,
    output_format=SAID,
    usage=st.none() | st.builds(Usage, **dict.fromkeys(Usage.__dataclass_fields__, COUNTS)),
    svg_usage=st.none() | st.dictionaries(TEXTS, JSON, max_size=3),
)
RESULTS = st.builds(
    Result,
    model=TEXTS,
    backend=TEXTS,
    upstream_model=TEXTS,
    price_version=TEXTS,
    generation=PURCHASED,
    created=COUNTS,
    cost=COUNTS,
    stored_at=COUNTS,
)


@settings(max_examples=examples(100))
@given(stored=RESULTS)
def test_any_result_survives(redis_url: str, stored: Result) -> None:
    async def put_and_get() -> Result | None:
        async with open_result_store("server", redis_url) as results:
            assert await results.put("search", "r1", stored, DAY)
            return await results.get("search", "r1")

    assert asyncio.run(put_and_get()) == stored


async def test_in_memory_time_is_set_by_the_test() -> None:
    results = FakeResultStore()
    await results.put("search", "r1", build_result(), 60)
    results.now += 59_999_999
    assert await results.get("search", "r1") == build_result()
    results.now += 1
    assert await results.get("search", "r1") is None
    assert await results.purge(None, None) == 0
