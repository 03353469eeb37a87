"""A fetcher of references from pages in memory."""

from collections.abc import Mapping
from dataclasses import replace

from blake3 import blake3

from service.domain.errors import UnreachableLink
from service.domain.image_spec import Reference
from tests.fakes.contents import MemoryContent


class FakeReferenceFetcher:
    """Fetches from `pages`; `fetched` are the addresses that were asked for."""

    def __init__(self, pages: Mapping[str, bytes] | None = None) -> None:
        self.fetched: list[str] = []
        self._pages = pages or {}

    async def fetch(self, reference: Reference) -> Reference:
        link = reference.link or ""
        self.fetched.append(link)
        if link not in self._pages:
            raise UnreachableLink(f"{reference.param} cannot be fetched.", param=reference.param)
        body = self._pages[link]
        return replace(reference, digest=blake3(body).hexdigest(), content=MemoryContent(body))
