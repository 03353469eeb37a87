"""Probes of backends whose circuit breaker is not closed, with calls that cost nothing.

Rule: an answer only allows the next call at once. The breaker closes when a call delivers images. A refused key opens
the breaker again. Backends with a closed breaker are not probed.

Fails with: nothing. A probe that fails in another way changes nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from service.usecases.ports.backends import Probeable
from service.usecases.upstream.upstream_admission import UpstreamAdmission


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeBackends:
    """The probes of all backends, every `interval_seconds`."""

    admission: UpstreamAdmission
    backends: Mapping[str, Probeable]
    interval_seconds: float

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await self.probe_unhealthy()
            await asyncio.sleep(self.interval_seconds)

    async def probe_unhealthy(self) -> None:
        """Probe each backend whose breaker is not closed, once."""
        await asyncio.gather(*(self._probe(name) for name in self.admission.unhealthy()))

    async def _probe(self, name: str) -> None:
        self.admission.record_probe(name, await self.backends[name].probe())
