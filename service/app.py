"""The composition root: the only module that knows all the others.

Rule: settings go in, a runnable application comes out; nothing is looked up anywhere else. What cannot work stops the
start with `SettingsError`.
"""

import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from litestar import Litestar
from litestar.types import ASGIApp

from service.adapters.backends.dialect import Dialect
from service.adapters.backends.http import HttpBackend, HttpSettings
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.sandbox import SandboxBackend, SandboxSettings
from service.adapters.backends.together import TogetherDialect
from service.adapters.darkroom import PillowDarkroom
from service.adapters.links import GuardedLinks, LinkSettings
from service.adapters.pictures import FolderPictures
from service.adapters.state import State
from service.api.application import build, edged
from service.api.bodies import Limits
from service.api.desk import Desk, Links, Live
from service.domain.routing import SANDBOX
from service.domain.teams import Key, Team, digest_of
from service.settings.files import SettingsError
from service.settings.gateway import GatewaySettings
from service.usecases.gather_references import GatherReferences
from service.usecases.keep_pictures import KeepPictures
from service.usecases.make_images import MakeImages
from service.usecases.ports import Backend, Backends, Observer, PictureStore

DIALECTS: Mapping[str, type[Dialect]] = {"openai": OpenAIDialect, "together": TogetherDialect}


@dataclass(slots=True)
class Drain:
    """Whether this replica is on its way out."""

    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that a server can run. `backends` are the names of those that are on."""

    asgi: ASGIApp
    litestar: Litestar
    drain: Drain
    backends: tuple[str, ...]
    pictures: Path | None


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def mint() -> str:
    """32 random hex digits."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """All that a gateway is made from. `data` is the folder for what has no address of its own, if there is one."""

    settings: GatewaySettings
    live: Live
    redis_url: str
    data: Path | None
    observe: Observer


def assemble(plans: Plans) -> Gateway:
    """Put a gateway together. Connects to nothing yet."""
    settings = plans.settings
    vendors = {name: _vendor(settings, name) for name in settings.api_keys}
    backends: Backends = {**vendors, **_sandbox(settings)}
    if not backends:
        raise SettingsError(
            "No backend is on: set the environment variable of a vendor's key, or switch the sandbox on.",
        )
    links, state, drain = _links(settings), State(plans.redis_url), Drain()
    folder = _folder(settings, plans.data)

    async def problems() -> Mapping[str, str]:
        if drain.begun:
            return {"gateway": "is shutting down"}
        problem = await state.problem()
        return {"redis": problem} if problem else {}

    async def close() -> None:
        closing: tuple[HttpBackend | GuardedLinks | State, ...] = (*vendors.values(), links, state)
        for part in closing:
            await part.close()

    app = build(_desk(plans, backends, links, folder, problems), plans.observe, [close])
    return Gateway(
        asgi=edged(app, plans.observe, mint, time.monotonic),
        litestar=app,
        drain=drain,
        backends=tuple(backends),
        pictures=folder,
    )


def _desk(
    plans: Plans,
    backends: Backends,
    links: GuardedLinks,
    folder: Path | None,
    problems: Callable[[], Awaitable[Mapping[str, str]]],
) -> Desk:
    settings, observe = plans.settings, plans.observe
    darkroom = PillowDarkroom()
    gather = GatherReferences(darkroom=darkroom, links=links)
    store: PictureStore | None = FolderPictures(folder) if folder else None
    return Desk(
        make=MakeImages(
            backends=backends,
            darkroom=darkroom,
            gather=gather,
            observe=observe,
            now=now,
            elapsed=time.monotonic,
        ),
        keep=KeepPictures(store=store, mint=mint, observe=observe, keep_all=settings.pictures.keep == "all"),
        live=lambda: plans.live,
        store=store,
        limits=_limits(settings),
        links=Links(
            key=signing_key(settings, plans.data),
            seconds=settings.pictures.link_seconds,
            public_url=settings.pictures.public_url,
        ),
        now=now,
        ready=problems,
        log_prompts=settings.logs.prompts,
    )


def _limits(settings: GatewaySettings) -> Limits:
    entry = settings.requests
    return Limits(
        most_json_bytes=entry.most_json_bytes,
        most_form_bytes=entry.most_form_bytes,
        most_picture_bytes=entry.most_picture_bytes,
        idle_seconds=entry.idle_seconds,
    )


def _vendor(settings: GatewaySettings, name: str) -> HttpBackend:
    vendor = settings.vendors[name]
    return HttpBackend(
        HttpSettings(
            base_url=vendor.base_url,
            api_key=settings.api_keys[name],
            headers=vendor.headers,
            deadline=vendor.deadline_seconds,
            most_calls=vendor.most_calls,
            proxy=vendor.proxy,
            ca_file=vendor.ca_file,
            relays_links=vendor.relay_image_urls,
        ),
        DIALECTS[vendor.dialect](),
    )


def _sandbox(settings: GatewaySettings) -> dict[str, Backend]:
    entry = settings.sandbox
    if not entry.enabled:
        return {}
    try:
        chosen = SandboxSettings(delay_seconds=entry.delay_seconds, fail=entry.fail, obey_prompt=entry.obey_prompt)
        return {SANDBOX: SandboxBackend(chosen)}
    except ValueError as wrong:
        raise SettingsError(f"gateway.yaml: $.sandbox.fail: {wrong}") from None


def _links(settings: GatewaySettings) -> GuardedLinks:
    entry = settings.links
    try:
        return GuardedLinks(
            LinkSettings(
                most_bytes=settings.requests.most_picture_bytes,
                seconds=entry.seconds,
                allow_networks=entry.allow_networks,
                allow_ports=entry.allow_ports,
                ca_file=entry.ca_file,
            ),
        )
    except (ValueError, OSError) as wrong:
        raise SettingsError(f"gateway.yaml: $.links: {wrong}") from None


def _folder(settings: GatewaySettings, data: Path | None) -> Path | None:
    """Where pictures are kept: what STORAGE_URL says, else in the data folder, else nowhere."""
    if settings.storage_url is None:
        return data.resolve() / "pictures" if data else None
    address = urlsplit(settings.storage_url)
    if address.scheme not in {"", "file"}:
        raise SettingsError(f"STORAGE_URL: '{address.scheme}' is not offered yet; give a folder.")
    return Path(unquote(address.path))


def signing_key(settings: GatewaySettings, data: Path | None) -> bytes:
    """The key that picture links are signed with: given, or made once and kept in the data folder."""
    if settings.signing_key:
        return settings.signing_key
    if data is None:
        if settings.storage_url:
            raise SettingsError("URL_SIGNING_KEY: needed with STORAGE_URL, so that replicas trust each other's links")
        return secrets.token_bytes(32)
    return kept_secret(data / "signing-key").encode()


def kept_secret(file: Path, prefix: str = "") -> str:
    """A secret that is made at the first start and read at the next; only its owner may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text("utf-8").strip()
    with os.fdopen(descriptor, "w") as new:
        new.write(secret := prefix + secrets.token_urlsafe(32))
    return secret


def dev_key(secret: str) -> Key:
    """The one key of `serve --dev`."""
    return Key(id="dev", team=Team(name="dev"), digest=digest_of(secret))
