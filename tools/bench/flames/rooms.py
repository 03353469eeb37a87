"""Which part of the house a sample belongs to. Pure.

Rule: the deepest frame of ours or of a known library decides, so what the standard library does, and what is written in
C or Cython and has no frame, counts for whoever called it. The longest prefix of a module's path wins. A sample without
such a frame is the rest's. Shares add up to 100.0.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from tools.bench.flames.stacks import LOOP as LOOP_BASE
from tools.bench.flames.stacks import Frame, Stack, Stacks

SERVER = "server, framework, edge"
BODIES = "bodies, dialects, JSON"
OURS = "domain and use cases"
REDIS = "Redis client"
VENDOR = "vendor client"
SQL = "SQL"
TOLD = "log and metrics"
LOOP = "event loop, system calls"
REST = "rest"
ROOMS = (SERVER, BODIES, OURS, REDIS, VENDOR, SQL, TOLD, LOOP, REST)
PREFIXES: Mapping[str, str] = {
    "uvicorn": SERVER,
    "litestar": SERVER,
    "service/server": SERVER,
    "service/api": SERVER,
    "service/api/http/bodies": BODIES,
    "service/api/http/canonical": BODIES,
    "service/api/openapi/sse": BODIES,
    "service/api/http/multipart": BODIES,
    "service/api/schemas/images_reply": BODIES,
    "service/api/schemas/requests": BODIES,
    "multipart": BODIES,
    "msgspec": BODIES,
    "pybase64": BODIES,
    "service/usecases/images/uploads": BODIES,  # uploads, to disk and back
    "service/adapters/backends": BODIES,
    "service/adapters/image_codec": BODIES,
    "service/domain": OURS,
    "service/usecases": OURS,
    "service/adapters/redis": REDIS,
    "service/adapters/redis/client": REDIS,
    "service/adapters/loop_aware_timeout": REDIS,
    "redis": REDIS,
    "hiredis": REDIS,
    "asyncio/streams": REDIS,  # nobody else uses them
    "service/adapters/backends/http": VENDOR,
    "service/adapters/backends/request_body": VENDOR,
    "aiohttp": VENDOR,
    "yarl": VENDOR,
    "multidict": VENDOR,
    "service/adapters/sql": SQL,
    "sqlalchemy": SQL,
    "asyncpg": SQL,
    "service/adapters/logs/event_log": TOLD,
    "service/adapters/observers": TOLD,
    "service/adapters/metrics": TOLD,
    "service/adapters/tracing": TOLD,
    "structlog": TOLD,
    "prometheus_client": TOLD,
    "opentelemetry": TOLD,
    LOOP_BASE: LOOP,
}


def known(frame: Frame) -> str | None:
    """The room of a frame that decides, or nothing."""
    parts = frame.module.split("/")
    prefixes = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((PREFIXES[prefix] for prefix in prefixes if prefix in PREFIXES), None)


def room(stack: Stack) -> str:
    """Of a sample."""
    return next((found for frame in reversed(stack) if (found := known(frame))), REST)


def shares(stacks: Stacks) -> dict[str, float]:
    """Per cent by room, all rooms, to a tenth. The last tenths go to those who lost most by rounding."""
    counted: Counter[str] = Counter()
    for stack, count in stacks.items():
        counted[room(stack)] += count
    return dict(zip(ROOMS, tenths([counted[name] for name in ROOMS]), strict=True))


def tenths(counts: Sequence[int]) -> list[float]:
    """Per cent of all, which add up; nothing of nothing is a `ValueError`."""
    total = sum(counts)
    if not total:
        raise ValueError("no samples")
    exact = [count * 1000 / total for count in counts]
    whole = [math.floor(one) for one in exact]
    lost = sorted(range(len(counts)), key=lambda place: whole[place] - exact[place])
    for place in lost[: 1000 - sum(whole)]:
        whole[place] += 1
    return [one / 10 for one in whole]
