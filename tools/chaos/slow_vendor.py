"""A vendor that takes longer than an SDK waits: number of images that arrive, and of calls that are paid.

Rule: no time is shortened. The SDK has its own timeout and retries, the gateway the shipped seconds between keep-alive
bytes.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.support.gateway import GatewayProcess
from tests.support.gateway_site import Site, site
from tests.support.sdk_js import SdkOutcome
from tests.support.sdk_py import Call, ClientTimeouts, sdk
from tools.chaos.rounds import FREE

PARAMS = {"model": "gpt-image-2", "width": 1024, "height": 1024, "response_format": "base64"}
UNBROKEN = ClientTimeouts(seconds=None, retries=None, longest=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Outcome of one caller: images, seconds, tries, calls to the vendor, and nano-USD booked."""

    keepalive: bool
    images: int
    seconds: float
    tries: int
    calls: int
    cost: int

    @property
    def clean(self) -> bool:
        """Whether the caller got one image that was paid once."""
        return self.images == self.calls == 1


def outwaited(folder: Path, seconds: float) -> Sequence[Waited]:
    """Run two callers at once, with keep-alive and without, through Together's newest SDK for Python."""
    with ExitStack() as stack:
        place = stack.enter_context(site(folder, teams=2, limits=FREE, delay=seconds))
        gateway = stack.enter_context(place.gateway())
        pool = stack.enter_context(ThreadPoolExecutor())
        asked = zip((True, False), place.teams, strict=True)
        waits = [pool.submit(_wait, place, gateway, team, keepalive) for keepalive, team in asked]
        return [wait.result() for wait in waits]


def _wait(place: Site, gateway: GatewayProcess, team: str, keepalive: bool) -> Waited:
    with sdk("new") as called:
        began = time.monotonic()
        reply = called(_call(gateway.url, team, keepalive))
        seconds = time.monotonic() - began
    place.settle(team)
    return Waited(
        keepalive=keepalive,
        images=_count_images(reply),
        seconds=seconds,
        tries=sum(line["event"] == "request" and line.get("team") == team for line in gateway.logged()),
        calls=sum(request.fields["prompt"] == team for request in place.vendor.requests),
        cost=sum(entry.cost for entry in asyncio.run(place.booked(team))),
    )


def _call(url: str, team: str, keepalive: bool) -> Call:
    return Call(
        url=url,
        key=f"igw_{team}",
        operation="generate",
        params=PARAMS | {"prompt": team},
        headers={"x-gateway-keepalive": str(keepalive).lower()},
        timeouts=UNBROKEN,
        sdk="together",
    )


def _count_images(reply: SdkOutcome) -> int:
    return 0 if reply.error else len(reply.result["data"] or ())
