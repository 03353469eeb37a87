"""Values for tests: valid as they are, and different where a test says so."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from blake3 import blake3

from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.catalog import Catalog, Model, Retired, Route, SizeRule
from service.domain.errors import Failure, FailureKind
from service.domain.generation import GeneratedImage, Generation
from service.domain.image_spec import REQUIRED_FEATURES, Operation, Reference, Size, Spec
from service.domain.ledger import Basis, Entry, EntryStatus
from service.domain.pricing import Price
from service.domain.team_access import Key, Team, key_digest
from service.usecases.money.hold_quota import HoldQuota
from service.usecases.money.recount_reports import RecountReports
from service.usecases.money.settlement import Intervals, Settlement
from service.usecases.ports.replica_registry import ReplicaRegistry
from service.usecases.ports.requests import ImageRequest
from service.usecases.ports.result_store import Result
from tests.fakes.contents import MemoryContent
from tests.fakes.ledger import FakeLedger
from tests.fakes.observer import Recorder
from tests.fakes.quota_store import FakeQuotaStore

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
SQUARE = Size(1024, 1024)
KEY = Key(id="search-1", team=Team(name="search"), digest=key_digest("igw_search"))
ALL_FORMATS = ("png", "jpeg", "webp", "gif", "svg")
FREE = SizeRule(multiple_of=16, max_edge=3840, max_ratio=3, min_pixels=655_360, max_pixels=8_294_400)


def spec(**changes: Any) -> Spec:
    """Build a plain spec for one image."""
    return Spec(**{"operation": Operation.GENERATE, "model": "painter", "prompt": "a red fox", **changes})


def edit(*references: Reference, **changes: Any) -> Spec:
    """Build a plain spec for an edit."""
    return spec(operation=Operation.EDIT, references=references or (upload(),), **changes)


def upload(body: bytes = b"a picture", param: str = "image") -> Reference:
    """Build an uploaded image; its digest is that of its bytes."""
    return Reference(param=param, digest=blake3(body).hexdigest(), content=MemoryContent(body))


def linked(link: str = "https://pictures.test/fox.png", param: str = "image") -> Reference:
    """Build a linked image."""
    return Reference(param=param, digest=hashlib.sha256(link.encode()).hexdigest(), link=link)


def price(**changes: Any) -> Price:
    """Build a price of a cent for an image, since January."""
    january = date(2026, 1, 1)
    basis = {"version": "cent@2026-01-01", "effective": january, "source": "list", "read_on": january}
    return Price(**{**basis, "per_image": 10_000_000, **changes})


def route(**changes: Any) -> Route:
    """Build a route to a backend that carries every field."""
    able = {"carries": frozenset(REQUIRED_FEATURES), "formats": frozenset(ALL_FORMATS)}
    return Route(**{"backend": "alpha", "model": "alpha/painter", "prices": (price(),), **able, **changes})


def model(**changes: Any) -> Model:
    """Build a model with every feature, along one route."""
    able = {
        "sizes": FREE,
        "formats": ALL_FORMATS,
        "fields": frozenset(REQUIRED_FEATURES),
        "tiers": ("low", "medium", "high"),
        "input_fidelity": ("high", "low"),
        "max_references": 16,
    }
    return Model(
        **{"id": "painter", "owned_by": "us", "created": date(2026, 1, 1), "routes": (route(),), **able, **changes}
    )


def catalog(*models: Model, retired: Mapping[str, Retired] | None = None) -> Catalog:
    """Build a catalog of these models, or of one; the first is the default."""
    known = models or (model(),)
    return Catalog(
        default_model=known[0].id, models={known_model.id: known_model for known_model in known}, retired=retired or {}
    )


def build_generation(*images: str, **changes: Any) -> Generation:
    """Build the generation of these images, named by their base64."""
    generated = tuple(GeneratedImage(base64=name.encode()) for name in images or ("fox",))
    return Generation(
        **{"images": generated, "created": 1_795_000_000, "size": SQUARE, "output_format": "png", **changes}
    )


def result(**changes: Any) -> Result:
    """Build a cached result that cost a cent."""
    plain = {
        "model": "painter",
        "backend": "alpha",
        "upstream_model": "alpha/painter",
        "price_version": "cent@2026-01-01",
        "generation": build_generation("Zm94"),
        "created": 1_795_000_000,
        "cost": 10_000_000,
        "stored_at": int(NOW.timestamp()) * 1_000_000,
        "ids": ("img_1",),
        "images_stored": False,
        "request_id": "req_0",
    }
    return Result(**{**plain, **changes})


def failure(kind: FailureKind, message: str = "It did not work.") -> Failure:
    """Build the failure of a call without an image."""
    return Failure(kind=kind, message=message)


def build_money(
    quotas: FakeQuotaStore | None = None,
    ledger: FakeLedger | None = None,
    observer: Recorder | None = None,
    intervals: Intervals | None = None,
    replicas: ReplicaRegistry | None = None,
    name: str = "replica-1",
) -> HoldQuota:
    """Build the use cases of money among fakes. `settlement` is the one that runs behind requests."""
    quotas, ledger, observer = quotas or FakeQuotaStore(counted=True), ledger or FakeLedger(), observer or Recorder()
    settlement = Settlement(
        quotas=quotas, ledger=ledger, observer=observer, owner=name, intervals=intervals or Intervals()
    )
    recounts = RecountReports(registry=replicas, settlement=settlement, name=name, monotonic=lambda: 0.0, sleep=at_once)
    return HoldQuota(quotas=quotas, ledger=ledger, settlement=settlement, observer=observer, recount_reports=recounts)


async def at_once(seconds: float) -> None:
    """Do not wait."""


def entry(**changes: Any) -> Entry:
    """Build an entry of a cent for an image, booked at noon."""
    at = int(NOW.timestamp()) * 1_000_000
    basis = {
        "hold_id": "hold-1",
        "request_id": "req_1",
        "team": "search",
        "key": "search-1",
        "operation": "generate",
        "model": "painter",
        "backend": "alpha",
        "upstream_model": "alpha/painter",
        "price_version": "cent@2026-01-01",
        "output_format": "png",
        "n": 1,
        "cost": 10_000_000,
        "basis": Basis.TABLE,
        "status": EntryStatus.DELIVERED,
        "held_at": at,
        "posted_at": at + 5_000_000,
    }
    return Entry(**{**basis, **changes})


def caller(**changes: Any) -> Caller:
    """Build a caller with the key of a team without limits."""
    return Caller(**{"key": KEY, "request_id": "req_1", **changes})


def image_request(
    request_spec: Spec | None = None, who: Caller | None = None, known: Catalog | None = None, **changes: Any
) -> ImageRequest:
    """Build a request for one image of the plain model."""
    plain = {
        "spec": request_spec or spec(),
        "caller": who or caller(),
        "catalog": known or catalog(),
        "terms": CacheDirectives(),
    }
    return ImageRequest(**{**plain, **changes})
