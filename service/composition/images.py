"""Image store with its use cases, signed URLs, the fetcher of reference images, and tracing.

Rule: a library of several megabytes is imported only if its feature is on.

Fails with: `SettingsError`, if a folder, an address, a network or a file cannot be used, or a library is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service import __version__
from service.adapters.image_codec import PillowCodec
from service.adapters.optional_packages import install_hint
from service.adapters.reference_fetcher import FetchSettings, GuardedFetcher
from service.adapters.sql.database import Database
from service.adapters.sql.file_index import SqlFileIndex
from service.adapters.uploads import FileUploads
from service.composition.app_config import AppConfig, new_id, now
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
    """Parts that store and read images. Without a `store` no image is stored."""

    store: ImageStore | None
    codec: PillowCodec
    images: ReadImages
    listing: FileListing
    image_storage: ImageStorage
    uploads: FileUploads

    def background_tasks(self, config: AppConfig) -> Mapping[str, TaskFunction]:
        """Return the deletion of expired images, if images are stored."""
        if self.store is None:
            return {}
        entry = config.settings.images
        delete_expired = DeleteExpiredImages(
            store=self.store,
            listing=self.listing,
            observer=config.observer,
            now=now,
            keep_seconds=entry.keep_seconds,
            sweep_seconds=entry.sweep_seconds,
        )
        return {"delete expired images": delete_expired.run}


def build_images(config: AppConfig, database: Database) -> ImageParts:
    """Build the image parts. The database has the list of callers' files."""
    store, entry = _build_image_store(image_location(config)), config.settings.images
    images = ReadImages(store=store, keep_seconds=entry.keep_seconds, now=now)
    return ImageParts(
        store=store,
        codec=PillowCodec(),
        images=images,
        listing=FileListing(index=SqlFileIndex(database), images=images, observer=config.observer, now=now),
        image_storage=ImageStorage(
            image_store=store,
            new_id=new_id,
            observer=config.observer,
            store_all=entry.keep == "all",
            reuse_seconds=entry.keep_seconds - entry.link_seconds,
        ),
        uploads=FileUploads(max_bytes=config.settings.requests.max_image_bytes),
    )


def build_sign_urls(config: AppConfig) -> SignUrls:
    """Build the signing of image URLs."""
    keys = signing_keys_source(config.settings, config.stores.data)
    return SignUrls(signing_keys=keys, url_seconds=config.settings.images.link_seconds, now=now)


def image_location(config: AppConfig) -> Storage | None:
    """Return the place of stored images: STORAGE_URL, by default the data folder; None without either."""
    data = config.stores.data
    return config.settings.storage or (ImageFolder(data.resolve() / "pictures") if data else None)


def _build_image_store(storage: Storage | None) -> ImageStore | None:
    if storage is None:
        return None
    from service.adapters.image_store import FolderImageStore, build_bucket_store  # noqa: PLC0415 (6 MB)

    try:
        if isinstance(storage, ImageBucket):
            return build_bucket_store(storage.name, storage.prefix, storage.endpoint)
        return FolderImageStore(storage.path)
    except OSError as unusable:
        raise SettingsError(f"STORAGE_URL: the folder for images cannot be made: {unusable.strerror}") from None
    except ValueError as wrong:
        raise SettingsError(f"STORAGE_URL: cannot be used: {wrong}") from None


def build_reference_fetcher(settings: GatewaySettings) -> GuardedFetcher:
    """Build the fetcher of callers' images. Raises `SettingsError` for wrong networks or files."""
    entry = settings.reference_images
    try:
        return GuardedFetcher(
            FetchSettings(
                max_bytes=settings.requests.max_image_bytes,
                timeout_seconds=entry.timeout_seconds,
                allow_networks=entry.allow_networks,
                allow_ports=entry.allow_ports,
                ca_file=entry.ca_file,
            ),
        )
    except (ValueError, OSError) as wrong:
        raise SettingsError(f"gateway.yaml: $.reference_images: {wrong}") from None


def build_tracer(settings: GatewaySettings) -> Tracer:
    """Build the tracer. Raises `SettingsError` if traces are on and OpenTelemetry is not installed."""
    if not settings.traces_variable:
        return NullTracer()
    try:
        from service.adapters.tracing.otlp import OtlpTracer  # noqa: PLC0415 (most gateways have no traces)
    except ImportError:
        raise SettingsError(f"{settings.traces_variable}: {install_hint('otel')}") from None
    return OtlpTracer({name: entry.dialect for name, entry in settings.http_backends.items()}, __version__)
