"""Builds the image store, its use cases, signed URLs, the reference fetcher and tracing."""

from collections.abc import Mapping
from dataclasses import dataclass

from service import __version__
from service.adapters.image_codec import PillowCodec
from service.adapters.optional_packages import install_hint
from service.adapters.reference_fetcher import FetchSettings, GuardedFetcher
from service.adapters.sql.database import Database
from service.adapters.sql.file_index import SqlFileIndex
from service.composition.app_config import (
    AppConfig,
    new_id,
    now,
)
from service.settings.gateway import GatewaySettings
from service.settings.generated_secrets import signing_keys_source
from service.settings.storage_url import ImageBucket, ImageFolder, Storage
from service.settings.yaml_file import SettingsError
from service.usecases.background.supervisor import TaskFunction
from service.usecases.images.delete_expired_images import DeleteExpiredImages
from service.usecases.images.file_listing import FileListing
from service.usecases.images.image_storage import ImageStorage
from service.usecases.images.read_images import ReadImages
from service.usecases.images.sign_urls import SignUrls
from service.usecases.ports.image_store import ImageStore
from service.usecases.ports.tracing import NullTracer, Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageParts:
    """Everything about kept pictures."""

    store: ImageStore | None
    darkroom: PillowCodec
    pictures: ReadImages
    files: FileListing
    keep: ImageStorage

    def background(self, plans: AppConfig) -> Mapping[str, TaskFunction]:
        """What goes on behind the requests."""
        if self.store is None:
            return {}
        entry = plans.settings.pictures
        forget = DeleteExpiredImages(
            store=self.store,
            files=self.files,
            observe=plans.observe,
            now=now,
            keep_seconds=entry.keep_seconds,
            sweep_seconds=entry.sweep_seconds,
        )
        return {"forget pictures": forget.run}


def build_images(plans: AppConfig, database: Database) -> ImageParts:
    """The parts about pictures. The database has the list of files."""
    store, entry = _build_image_store(image_location(plans)), plans.settings.pictures
    pictures = ReadImages(store=store, keep_seconds=entry.keep_seconds, now=now)
    return ImageParts(
        store=store,
        darkroom=PillowCodec(),
        pictures=pictures,
        files=FileListing(index=SqlFileIndex(database), pictures=pictures, observe=plans.observe, now=now),
        keep=ImageStorage(
            store=store,
            mint=new_id,
            observe=plans.observe,
            keep_all=entry.keep == "all",
            fresh_seconds=entry.keep_seconds - entry.link_seconds,
        ),
    )


def build_sign_urls(plans: AppConfig) -> SignUrls:
    """Who signs links to pictures."""
    keys = signing_keys_source(plans.settings, plans.stores.data)
    return SignUrls(keys=keys, seconds=plans.settings.pictures.link_seconds, now=now)


def image_location(plans: AppConfig) -> Storage | None:
    """Where pictures are kept: what STORAGE_URL says, else in the data folder, else nowhere."""
    data = plans.stores.data
    return plans.settings.storage or (ImageFolder(data.resolve() / "pictures") if data else None)


def _build_image_store(storage: Storage | None) -> ImageStore | None:
    if storage is None:
        return None
    from service.adapters.image_store.object_store import FolderImageStore, build_bucket_store  # noqa: PLC0415 (6 MB)

    try:
        if isinstance(storage, ImageBucket):
            return build_bucket_store(storage.name, storage.prefix, storage.endpoint)
        return FolderImageStore(storage.path)
    except OSError as unusable:
        raise SettingsError(f"STORAGE_URL: the folder for pictures cannot be made: {unusable.strerror}") from None
    except ValueError as wrong:
        raise SettingsError(f"STORAGE_URL: cannot be used: {wrong}") from None


def build_reference_fetcher(settings: GatewaySettings) -> GuardedFetcher:
    """What fetches callers' pictures. Raises `SettingsError` for networks or files that are none."""
    entry = settings.links
    try:
        return GuardedFetcher(
            FetchSettings(
                most_bytes=settings.requests.most_picture_bytes,
                seconds=entry.seconds,
                allow_networks=entry.allow_networks,
                allow_ports=entry.allow_ports,
                ca_file=entry.ca_file,
            ),
        )
    except (ValueError, OSError) as wrong:
        raise SettingsError(f"gateway.yaml: $.links: {wrong}") from None


def build_tracer(settings: GatewaySettings) -> Tracer:
    """What follows requests, if anything does. Raises `SettingsError` where its libraries are not installed."""
    if not settings.traces:
        return NullTracer()
    try:
        from service.adapters.tracing.otlp import OtlpTracer  # noqa: PLC0415 (most do not need it)
    except ImportError:
        raise SettingsError(f"{settings.traces}: {install_hint('otel')}") from None
    return OtlpTracer({name: entry.dialect for name, entry in settings.vendors.items()}, __version__)
