"""Reads `models.yaml` into the catalog.

Rule: whatever a request could trip over later is refused now: a route without a price in effect, a field no dialect
knows, a name that is not defined. Fails with `SettingsError`.
"""

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from service.domain.catalog import Catalog, Model, ReferencesAs, Retired, Route, SizeAs, SizeRule
from service.domain.errors import InvalidValue
from service.domain.images import DEMANDS, Size
from service.domain.pricing import Price, TokenRates, Tokens, in_force
from service.domain.routing import SANDBOX
from service.settings.files import Entry, Place, read_yaml

MILLION = 1_000_000


class _File(Entry, frozen=True):
    default_model: str
    sizes: dict[str, object]
    carries: dict[str, object]
    prices: dict[str, object]
    models: dict[str, object]
    retired: dict[str, object] = {}


class _Sizes(Entry, frozen=True):
    choices: list[str] = []
    multiple_of: int = 1
    min_edge: int = 1
    max_edge: int = 65_536
    max_ratio: int = 65_536
    min_pixels: int = 1
    max_pixels: int = 1_000_000_000


class _Rates(Entry, frozen=True):
    text_in: Decimal
    image_in: Decimal
    image_out: Decimal
    text_cached: Decimal = Decimal(0)
    image_cached: Decimal = Decimal(0)
    text_out: Decimal = Decimal(0)


class _Price(Entry, frozen=True):
    effective: date
    source: str
    read: date
    per_million_tokens: _Rates | None = None
    grid: dict[str, int] = {}
    table: dict[str, dict[str, int]] = {}
    per_image: Decimal | None = None
    per_megapixel: Decimal | None = None
    default_steps: int | None = None


class _Route(Entry, frozen=True):
    backend: str
    model: str
    carries: str
    formats: frozenset[str]
    price: str
    sizes: str | None = None
    max_n: int = 10
    max_references: int = 16
    size_as: SizeAs = SizeAs.PIXELS
    references_as: ReferencesAs = ReferencesAs.PARTS


class _Model(Entry, frozen=True):
    owned_by: str
    created: date
    sizes: str
    formats: tuple[str, ...]
    fields: frozenset[str]
    routes: tuple[_Route, ...]
    tiers: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    input_fidelity: tuple[str, ...] = ()
    max_n: int = 10
    max_references: int = 0
    shutdown_date: date | None = None
    successor: str | None = None


class _Retired(Entry, frozen=True):
    since: date
    successor: str


def read_catalog(file: Path, today: date) -> Catalog:
    """The catalog in a file; every route must have a price in effect on `today`."""
    top = Place(file)
    found = top.decode(read_yaml(file), _File)
    reader = _Reader(top, found, today)
    entries = (top / "models").table(found.models, _Model)
    models = {name: reader.model(name, entry) for name, entry in entries.items()}
    _check_names(top, found.default_model, models)
    retired = (top / "retired").table(found.retired, _Retired)
    for name, entry in retired.items():
        (top / "retired" / name / "successor").named(models, entry.successor)
    return Catalog(
        default_model=found.default_model,
        models=models,
        retired={name: Retired(since=entry.since, successor=entry.successor) for name, entry in retired.items()},
    )


def _check_names(top: Place, default: str, models: dict[str, Model]) -> None:
    (top / "default_model").named(models, default)
    taken = set(models)
    for name, model in models.items():
        for alias in model.aliases:
            if alias in taken:
                raise (top / "models" / name / "aliases").error(f"'{alias}' is taken by another model")
            taken.add(alias)
        if model.successor is not None:
            (top / "models" / name / "successor").named(models, model.successor)


class _Reader:
    """Reads the tables that models refer to, then the models."""

    def __init__(self, top: Place, found: _File, today: date) -> None:
        self._models = top / "models"
        self._sizes = {
            name: _sizes(top / "sizes" / name, entry)
            for name, entry in (top / "sizes").table(found.sizes, _Sizes).items()
        }
        self._carries = {
            name: _known(top / "carries" / name, fields)
            for name, fields in (top / "carries").table(found.carries, frozenset[str]).items()
        }
        self._prices = {
            name: _prices(top / "prices" / name, name, versions, today)
            for name, versions in (top / "prices").table(found.prices, list[_Price]).items()
        }

    def model(self, name: str, entry: _Model) -> Model:
        place = self._models / name
        routes = [self._route(place / "routes" / index, route) for index, route in enumerate(entry.routes)]
        if not routes:
            raise (place / "routes").error("a model needs at least one route")
        return Model(
            id=name,
            owned_by=entry.owned_by,
            created=entry.created,
            sizes=(place / "sizes").named(self._sizes, entry.sizes),
            formats=entry.formats,
            fields=_known(place / "fields", entry.fields),
            routes=(*routes, _sandbox(name, entry, routes[0])),
            tiers=entry.tiers,
            aliases=entry.aliases,
            input_fidelity=entry.input_fidelity,
            max_n=_count(place / "max_n", entry.max_n),
            max_references=_count(place / "max_references", entry.max_references, least=0),
            shutdown_date=entry.shutdown_date,
            successor=entry.successor,
        )

    def _route(self, place: Place, entry: _Route) -> Route:
        if entry.backend == SANDBOX:
            raise (place / "backend").error("every model has a sandbox route already")
        return Route(
            backend=entry.backend,
            model=entry.model,
            carries=(place / "carries").named(self._carries, entry.carries),
            formats=entry.formats,
            prices=(place / "price").named(self._prices, entry.price),
            sizes=(place / "sizes").named(self._sizes, entry.sizes) if entry.sizes else None,
            max_n=_count(place / "max_n", entry.max_n),
            max_references=_count(place / "max_references", entry.max_references, least=0),
            size_as=entry.size_as,
            references_as=entry.references_as,
        )


def _sandbox(name: str, entry: _Model, first: Route) -> Route:
    """The sandbox can do all that the model can, at the price of the model's first route."""
    return Route(
        backend=SANDBOX,
        model=name,
        carries=frozenset(DEMANDS),
        formats=frozenset(entry.formats),
        prices=first.prices,
        max_references=entry.max_references,
    )


def _sizes(place: Place, entry: _Sizes) -> SizeRule:
    try:
        choices = tuple(Size.parse(choice) for choice in entry.choices)
    except InvalidValue as invalid:
        raise (place / "choices").error(invalid.message) from None
    for name in ("multiple_of", "min_edge", "max_edge", "max_ratio", "min_pixels", "max_pixels"):
        _count(place / name, getattr(entry, name))
    return SizeRule(
        choices=choices,
        multiple_of=entry.multiple_of,
        min_edge=entry.min_edge,
        max_edge=entry.max_edge,
        max_ratio=entry.max_ratio,
        min_pixels=entry.min_pixels,
        max_pixels=entry.max_pixels,
    )


def _count(place: Place, number: int, least: int = 1) -> int:
    if number < least:
        raise place.error(f"{number} is not at least {least}")
    return number


def _known(place: Place, fields: frozenset[str]) -> frozenset[str]:
    unknown = sorted(fields - DEMANDS.keys())
    if unknown:
        raise place.error(f"unknown field '{unknown[0]}'; known are {', '.join(sorted(DEMANDS))}")
    return fields


def _prices(place: Place, name: str, versions: list[_Price], today: date) -> tuple[Price, ...]:
    prices = tuple(_price(place / index, name, entry) for index, entry in enumerate(versions))
    if len({price.effective for price in prices}) < len(prices):
        raise place.error("two versions take effect on the same day")
    if in_force(prices, today) is None:
        raise place.error("no version is in effect yet: a route without a price is not served")
    return prices


def _price(place: Place, name: str, entry: _Price) -> Price:
    bases = (entry.per_million_tokens, entry.per_image, entry.per_megapixel)
    if sum(basis is not None for basis in bases) != 1:
        raise place.error("exactly one of per_million_tokens, per_image and per_megapixel is needed")
    return Price(
        version=f"{name}@{entry.effective}",
        effective=entry.effective,
        source=entry.source,
        read=entry.read,
        rates=_rates(place / "per_million_tokens", entry.per_million_tokens),
        tokens=_tokens(place, entry),
        per_image=None if entry.per_image is None else (place / "per_image").dollars(entry.per_image),
        per_megapixel=None if entry.per_megapixel is None else (place / "per_megapixel").dollars(entry.per_megapixel),
        default_steps=None if entry.default_steps is None else _count(place / "default_steps", entry.default_steps),
    )


def _rates(place: Place, entry: _Rates | None) -> TokenRates | None:
    if entry is None:
        return None
    names = msgspec.structs.fields(_Rates)
    return TokenRates(
        **{field.name: (place / field.name).dollars(getattr(entry, field.name), per=MILLION) for field in names},
    )


def _tokens(place: Place, entry: _Price) -> Tokens:
    return Tokens(
        grid={tier: _count(place / "grid" / tier, cells) for tier, cells in entry.grid.items()},
        table={tier: _by_size(place / "table" / tier, counts) for tier, counts in entry.table.items()},
    )


def _by_size(place: Place, counts: dict[str, int]) -> dict[Size, int]:
    try:
        return {Size.parse(size): _count(place / size, count) for size, count in counts.items()}
    except InvalidValue as invalid:
        raise place.error(invalid.message) from None
