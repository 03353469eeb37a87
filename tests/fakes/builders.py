"""Values for tests: valid as they are, and different where a test says so."""

import hashlib
import itertools
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from blake3 import blake3

from service.domain.booking import Caller
from service.domain.catalog import Catalog, Model, Retired, Route, SizeRule
from service.domain.errors import Failure, FailureKind
from service.domain.images import DEMANDS, Operation, Reference, Size, Spec
from service.domain.ledger import Admission, Basis, Entry, Status
from service.domain.outcomes import Picture, Purchase
from service.domain.pricing import Price
from service.domain.teams import Key, Team, digest_of
from service.domain.terms import Terms
from service.usecases.accounts import Replicas
from service.usecases.answer_once import AnswerOnce, Replays
from service.usecases.buy_once import BuyOnce, Policy
from service.usecases.buy_pictures import BuyPictures, Made
from service.usecases.detached import Detached
from service.usecases.develop import Develop
from service.usecases.flights import Result
from service.usecases.fly import Fly
from service.usecases.gather_references import GatherReferences
from service.usecases.hold_money import HoldMoney
from service.usecases.keep_books import KeepBooks, Pace
from service.usecases.keep_pictures import KeepPictures
from service.usecases.make_images import Asked, MakeImages, nobody
from service.usecases.ports import Backend, PictureStore
from service.usecases.read_pictures import ReadPictures
from service.usecases.recounts import Recounts
from service.usecases.serve_kept import ServeKept
from service.usecases.traces import Untraced
from service.usecases.try_backends import Persistence, TryBackends
from tests.fakes.books import FakeBooks
from tests.fakes.contents import MemoryContent
from tests.fakes.darkroom import FakeDarkroom
from tests.fakes.flights import FakeFlights
from tests.fakes.ledger import FakeLedger
from tests.fakes.links import FakeLinks
from tests.fakes.observer import Recorder
from tests.fakes.results import FakeResults
from tests.fakes.turns import FakeTurns

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
SQUARE = Size(1024, 1024)
KEY = Key(id="search-1", team=Team(name="search"), digest=digest_of("igw_search"))
ALL_FORMATS = ("png", "jpeg", "webp", "gif", "svg")
PATIENT = Persistence(wait_seconds=10)
POLICY, REPLAYS = Policy(seconds=3600, shared=False, failure_seconds=30), Replays(seconds=86_400, waits=True)
FREE = SizeRule(multiple_of=16, max_edge=3840, max_ratio=3, min_pixels=655_360, max_pixels=8_294_400)


def spec(**changes: Any) -> Spec:
    """A plain wish for one picture."""
    return Spec(**{"operation": Operation.GENERATE, "model": "painter", "prompt": "a red fox", **changes})


def edit(*references: Reference, **changes: Any) -> Spec:
    """A plain wish to change a picture."""
    return spec(operation=Operation.EDIT, references=references or (upload(),), **changes)


def upload(body: bytes = b"a picture", param: str = "image") -> Reference:
    """A picture that the caller uploaded; its digest is that of its bytes."""
    return Reference(param=param, digest=blake3(body).hexdigest(), content=MemoryContent(body))


def linked(link: str = "https://pictures.test/fox.png", param: str = "image") -> Reference:
    """A picture that the caller linked to."""
    return Reference(param=param, digest=hashlib.sha256(link.encode()).hexdigest(), link=link)


def price(**changes: Any) -> Price:
    """A cent for a picture, since January."""
    january = date(2026, 1, 1)
    basis = {"version": "cent@2026-01-01", "effective": january, "source": "list", "read": january}
    return Price(**{**basis, "per_image": 10_000_000, **changes})


def route(**changes: Any) -> Route:
    """A way to a backend that can do everything."""
    able = {"carries": frozenset(DEMANDS), "formats": frozenset(ALL_FORMATS)}
    return Route(**{"backend": "alpha", "model": "alpha/painter", "prices": (price(),), **able, **changes})


def model(**changes: Any) -> Model:
    """A model that can do everything, along one route."""
    able = {
        "sizes": FREE,
        "formats": ALL_FORMATS,
        "fields": frozenset(DEMANDS),
        "tiers": ("low", "medium", "high"),
        "input_fidelity": ("high", "low"),
        "max_references": 16,
    }
    return Model(
        **{"id": "painter", "owned_by": "us", "created": date(2026, 1, 1), "routes": (route(),), **able, **changes}
    )


def catalog(*models: Model, retired: Mapping[str, Retired] | None = None) -> Catalog:
    """These models, or one; the first is the default."""
    known = models or (model(),)
    return Catalog(default_model=known[0].id, models={each.id: each for each in known}, retired=retired or {})


def purchase(*pictures: str, **changes: Any) -> Purchase:
    """Pictures that a backend delivered, named by their base64."""
    drawn = tuple(Picture(base64=name.encode()) for name in pictures or ("fox",))
    return Purchase(**{"pictures": drawn, "created": 1_795_000_000, "size": SQUARE, "output_format": "png", **changes})


def result(**changes: Any) -> Result:
    """What was bought a cent ago, as it is kept."""
    plain = {
        "model": "painter",
        "backend": "alpha",
        "upstream_model": "alpha/painter",
        "price_version": "cent@2026-01-01",
        "purchase": purchase("Zm94"),
        "created": 1_795_000_000,
        "cost": 10_000_000,
        "kept_at": int(NOW.timestamp()) * 1_000_000,
        "ids": ("img_1",),
        "stored": False,
        "request_id": "req_0",
    }
    return Result(**{**plain, **changes})


def failure(kind: FailureKind, message: str = "It did not work.") -> Failure:
    """A call that brought nothing."""
    return Failure(kind=kind, message=message)


def accounts(
    ledger: FakeLedger | None = None,
    books: FakeBooks | None = None,
    observe: Recorder | None = None,
    pace: Pace | None = None,
    replicas: Replicas | None = None,
    name: str = "replica-1",
) -> HoldMoney:
    """The stories of money among fakes; `keep` is the one that goes on behind."""
    ledger, books, observe = ledger or FakeLedger(counted=True), books or FakeBooks(), observe or Recorder()
    keep = KeepBooks(ledger=ledger, books=books, observe=observe, owner=name, pace=pace or Pace())
    recounts = Recounts(replicas=replicas, keep=keep, name=name, elapsed=lambda: 0.0, sleep=at_once)
    return HoldMoney(ledger=ledger, books=books, keep=keep, observe=observe, recounts=recounts)


async def at_once(seconds: float) -> None:
    """What is waited for has come."""


class Alone:
    """The use case for somebody who shares with nobody."""

    def __init__(self, make: MakeImages) -> None:
        self._make = make

    async def __call__(
        self,
        spec: Spec,
        caller: Caller,
        catalog: Catalog,
        admitted: Callable[[Admission], None] = nobody,
        *,
        linked: bool = False,
        partials: int = 0,
    ) -> Made:
        asked = Asked(
            spec=spec,
            caller=caller,
            catalog=catalog,
            terms=Terms(share=False),
            admitted=admitted,
            linked=linked,
            partials=partials,
        )
        share = await self._make(asked)
        return Made(
            spec=share.spec,
            backend=share.result.backend,
            upstream_model=share.result.upstream_model,
            price_version=share.result.price_version,
            purchase=share.result.purchase,
            created=share.result.created,
            cost=share.cost,
            notes=share.notes,
        )


@dataclass(slots=True, kw_only=True)
class Counter:
    """The parts that a replica buys, keeps and serves with, among fakes; results are kept for an hour."""

    hold: HoldMoney
    flights: FakeFlights = field(default_factory=FakeFlights)
    results: FakeResults = field(default_factory=FakeResults)
    store: PictureStore | None = None
    keep_all: bool = False
    lease: float = 30.0
    now: Callable[[], datetime] = lambda: NOW
    policy: Policy = POLICY
    replays: Replays = REPLAYS
    mint: Callable[[], str] = lambda: uuid.uuid4().hex

    def fly(self) -> Fly:
        return Fly(flights=self.flights, mint=self.mint, lease=self.lease)

    def keep(self) -> KeepPictures:
        return KeepPictures(
            store=self.store, mint=self.mint, observe=Recorder(), keep_all=self.keep_all, fresh_seconds=86_400
        )

    def serve(self) -> ServeKept:
        pictures = ReadPictures(store=self.store, keep_seconds=1e9, now=self.now)
        return ServeKept(hold=self.hold, keep=self.keep(), pictures=pictures, mint=self.mint, now=self.now)

    def once(self) -> BuyOnce:
        return BuyOnce(
            results=self.results,
            flights=self.flights,
            fly=self.fly(),
            detached=Detached(),
            keep=self.keep(),
            serve=self.serve(),
            policy=self.policy,
            mint=self.mint,
            now=self.now,
        )

    def answer(self) -> AnswerOnce:
        return AnswerOnce(
            fly=self.fly(), detached=Detached(), results=self.results, serve=self.serve(), replays=self.replays
        )


def story(backends: Mapping[str, Backend], **parts: Any) -> Alone:
    """The use case among fakes, for somebody who shares with nobody."""
    return Alone(maker(backends, **parts))


def maker(
    backends: Mapping[str, Backend],
    *,
    darkroom: FakeDarkroom | None = None,
    links: FakeLinks | None = None,
    observe: Recorder | None = None,
    hold: HoldMoney | None = None,
    now: datetime = NOW,
    policy: Policy = POLICY,
    turns: FakeTurns | None = None,
    persistence: Persistence = PATIENT,
    sleep: Callable[[float], Awaitable[None]] = at_once,
    crowded: Callable[[], bool] = bool,
) -> MakeImages:
    """The use case among fakes. Its stopwatch shows a second more at every glance."""
    darkroom, observe, numbers = darkroom or FakeDarkroom(), observe or Recorder(), itertools.count(1)
    hold, turns = hold or accounts(observe=observe), turns or FakeTurns()
    buy = BuyPictures(
        backends=backends,
        develop=Develop(darkroom=darkroom),
        hold=hold,
        turns=turns,
        observe=observe,
        trace=Untraced(),
        mint=lambda: f"hold-{next(numbers)}",
        elapsed=itertools.count().__next__,
    )
    gather = GatherReferences(darkroom=darkroom, links=links or FakeLinks(), kept=FakeLinks())
    counter = Counter(hold=hold, now=lambda: now, policy=policy)
    return MakeImages(
        backends=backends,
        gather=gather,
        draw=TryBackends(buy=buy, turns=turns, persistence=persistence, sleep=sleep, now=lambda: now),
        answer=counter.answer(),
        once=counter.once(),
        crowded=crowded,
        now=lambda: now,
    )


def entry(**changes: Any) -> Entry:
    """A cent for a picture, booked at noon."""
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
        "status": Status.DELIVERED,
        "held_at": at,
        "posted_at": at + 5_000_000,
    }
    return Entry(**{**basis, **changes})


def caller(**changes: Any) -> Caller:
    """A request with the key of a team without limits."""
    return Caller(**{"key": KEY, "request_id": "req_1", **changes})
