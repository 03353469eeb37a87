"""Ask backends that are set aside for something that is free, so that no request has to find out whether they are back.

Rule: it never costs anything, and it is never taken for health: a vendor that answers may be tried at once, but only a
picture closes its breaker. One that refuses the account is set aside for that. While all are well nobody is asked.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from service.usecases.ports.backends import Probeable
from service.usecases.upstream.upstream_admission import UpstreamAdmission


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeBackends:
    """The use case. Whoever is not well is asked every `interval_seconds`."""

    admission: UpstreamAdmission
    backends: Mapping[str, Probeable]
    interval_seconds: float

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.probe_unhealthy()
            await asyncio.sleep(self.interval_seconds)

    async def probe_unhealthy(self) -> None:
        """Ask once."""
        await asyncio.gather(*(self._probe(name) for name in self.admission.unhealthy()))

    async def _probe(self, name: str) -> None:
        self.admission.record_probe(name, await self.backends[name].probe())
