"""Deletion of images whose lifetime is over, and correction of the list of files, in the background.

Rule: only objects that the gateway wrote are deleted, because a folder or bucket may hold others. Every replica may
sweep at any time; a second deletion changes nothing.

Fails with: nothing. While the store is away everything stays until the next sweep.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.domain.errors import StoreUnavailable
from service.domain.stored_images import expired_names
from service.usecases.images.file_listing import FileListing
from service.usecases.ports.events import ImagesDeleted, ImageStoreFailed
from service.usecases.ports.image_store import ImageStore
from service.usecases.ports.observer import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteExpiredImages:
    """The sweeps. `now` returns an aware UTC time."""

    store: ImageStore
    listing: FileListing
    observer: Observer
    now: Callable[[], datetime]
    keep_seconds: float
    sweep_seconds: float

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(self.sweep_seconds)

    async def sweep(self) -> None:
        """List the store once, delete expired images, and compare the rest with the list of files."""
        count, comparison = 0, self.listing.start_comparison()
        try:
            async for batch in self.store.list_all():
                names = expired_names(batch, self.now(), self.keep_seconds)
                if names:
                    await self.store.delete(names)
                    count += len(names)
                deleted = set(names)
                await comparison.add_batch(stored for stored in batch if stored.name not in deleted)
            await comparison.finish()
        except StoreUnavailable as failed:
            self.observer.record(ImageStoreFailed(request_id="background", reason=failed.message, cause=failed.cause))
        if count:
            self.observer.record(ImagesDeleted(count=count))
