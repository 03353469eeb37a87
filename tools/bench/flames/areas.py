"""Areas of the code, and the area of each sample. Pure.

Rule: the deepest frame of `service` or of a known library decides. So the standard library and code without a frame (C,
Cython) count for their caller. The longest prefix of a module's path wins. A sample without a known frame counts as
`REST`. Shares add up to 100.0.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from tools.bench.flames.stacks import LOOP as LOOP_BASE
from tools.bench.flames.stacks import Frame, Stack, Stacks

SERVER = "server, framework, middleware"
BODIES = "bodies, dialects, JSON"
GATEWAY_CODE = "domain and use cases"
REDIS = "Redis client"
VENDOR = "vendor client"
SQL = "SQL"
LOGS = "log and metrics"
LOOP = "event loop, system calls"
REST = "rest"
AREAS = (SERVER, BODIES, GATEWAY_CODE, REDIS, VENDOR, SQL, LOGS, LOOP, REST)
PREFIXES: Mapping[str, str] = {
    "uvicorn": SERVER,
    "litestar": SERVER,
    "service/server": SERVER,
    "service/api": SERVER,
    "service/api/http/bodies": BODIES,
    "service/api/http/body_to_spec": BODIES,
    "service/api/http/multipart": BODIES,
    "service/api/http/response_writer": BODIES,
    "service/api/schemas": BODIES,
    "multipart": BODIES,
    "msgspec": BODIES,
    "pybase64": BODIES,
    "service/adapters/backends": BODIES,
    "service/adapters/image_codec": BODIES,
    "service/adapters/uploads": BODIES,  # request bodies, to disk and back
    "service/domain": GATEWAY_CODE,
    "service/usecases": GATEWAY_CODE,
    "service/adapters/loop_aware_timeout": REDIS,
    "service/adapters/redis": REDIS,
    "redis": REDIS,
    "hiredis": REDIS,
    "asyncio/streams": REDIS,  # only the Redis client uses them
    "service/adapters/backends/http": VENDOR,
    "service/adapters/backends/request_body": VENDOR,
    "aiohttp": VENDOR,
    "yarl": VENDOR,
    "multidict": VENDOR,
    "service/adapters/sql": SQL,
    "sqlalchemy": SQL,
    "asyncpg": SQL,
    "service/adapters/logs": LOGS,
    "service/adapters/metrics": LOGS,
    "service/usecases/ports/observer": LOGS,
    "service/adapters/tracing": LOGS,
    "structlog": LOGS,
    "prometheus_client": LOGS,
    "opentelemetry": LOGS,
    LOOP_BASE: LOOP,
}


def area_by_prefix(frame: Frame) -> str | None:
    """Return the area of a frame, or None if the frame decides nothing."""
    parts = frame.module.split("/")
    prefixes = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((PREFIXES[prefix] for prefix in prefixes if prefix in PREFIXES), None)


def area(stack: Stack) -> str:
    """Return the area of a sample."""
    return next((label for frame in reversed(stack) if (label := area_by_prefix(frame))), REST)


def shares(stacks: Stacks) -> dict[str, float]:
    """Return per cent by area, for all areas, to a tenth. The largest rounding losses get the last tenths."""
    counted: Counter[str] = Counter()
    for stack, count in stacks.items():
        counted[area(stack)] += count
    return dict(zip(AREAS, tenths([counted[name] for name in AREAS]), strict=True))


def tenths(counts: Sequence[int]) -> list[float]:
    """Return per cent of the sum. They add up to 100.0. Raises `ValueError` for a sum of zero."""
    total = sum(counts)
    if not total:
        raise ValueError("no samples")
    exact = [count * 1000 / total for count in counts]
    whole = [math.floor(one) for one in exact]
    lost = sorted(range(len(counts)), key=lambda place: whole[place] - exact[place])
    for place in lost[: 1000 - sum(whole)]:
        whole[place] += 1
    return [one / 10 for one in whole]
