"""Delete pictures that were kept long enough, and set the list of files right: what goes on behind the requests.

Rule: deletes only what the gateway wrote itself; a folder or bucket may hold other things. Every replica may do it at
any time: deleting twice changes nothing. While the store is away everything stays, until the next round.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.domain.errors import StoreUnavailable
from service.domain.kept import forgettable
from service.usecases.events import PicturesForgotten, StoreFailed
from service.usecases.list_files import ListFiles
from service.usecases.ports import Observer, PictureStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetPictures:
    """The use case. `now` gives an aware UTC time; the other two are seconds."""

    store: PictureStore
    files: ListFiles
    observe: Observer
    now: Callable[[], datetime]
    keep_seconds: float
    sweep_seconds: float

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(self.sweep_seconds)

    async def sweep(self) -> None:
        """Look through the store once."""
        count, files = 0, self.files.compare()
        try:
            async for batch in self.store.listed():
                names = forgettable(batch, self.now(), self.keep_seconds)
                if names:
                    await self.store.forget(names)
                    count += len(names)
                gone = set(names)
                await files.take(kept for kept in batch if kept.name not in gone)
            await files.finish()
        except StoreUnavailable as failed:
            self.observe(StoreFailed(request_id="background", reason=failed.message, cause=failed.cause))
        if count:
            self.observe(PicturesForgotten(count=count))
