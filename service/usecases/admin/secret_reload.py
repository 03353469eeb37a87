"""Reload of secrets from their files, so that a rotated secret takes effect without a restart.

Rule: each secret is reloaded by itself. A new secret counts from its next use on. A secret that no file holds never
changes.

Fails with: nothing. A file that is missing or wrong is reported as `SecretRejected`, and the secret before stays.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.usecases.images.sign_urls import SignUrls
from service.usecases.ports.config import ReloadableSecret
from service.usecases.ports.events import SecretRejected, SecretReloaded
from service.usecases.ports.observer import Observer
from service.usecases.upstream.upstream_admission import UpstreamAdmission


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReload:
    """The reload of all secrets.

    Attributes:
        backend_keys: Keys of vendors' accounts, by backend; `admission` has to know of a change.
        signing_keys: Keys of signed URLs, if they are in a setting; `sign_urls` has to know of a change.
        read_at_each_use: Secrets of which no part keeps a copy.
    """

    backend_keys: Mapping[str, ReloadableSecret]
    signing_keys: ReloadableSecret | None
    read_at_each_use: Sequence[ReloadableSecret]
    admission: UpstreamAdmission
    sign_urls: SignUrls
    observer: Observer
    interval_seconds: float = 2.0

    async def run(self) -> None:
        """Reload until cancelled."""
        while True:
            self.reload_all()
            await asyncio.sleep(self.interval_seconds)

    def reload_all(self) -> None:
        """Read each file once."""
        for backend, secret in self.backend_keys.items():
            if self._has_changed(secret):
                self.admission.credentials_changed(backend)
        if self.signing_keys and self._has_changed(self.signing_keys):
            self.sign_urls.reload_keys()
        for secret in self.read_at_each_use:
            self._has_changed(secret)

    def _has_changed(self, secret: ReloadableSecret) -> bool:
        result = secret.reload()
        if isinstance(result, str):
            self.observer.record(SecretRejected(secret=secret.name, problem=result))
            return False
        if result:
            self.observer.record(SecretReloaded(secret=secret.name, file=str(secret.file)))
        return result
