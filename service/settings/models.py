"""Catalog of models, prices and routes, read from `models.yaml`.

Rule: each mistake that would fail a later request is refused at the start: a route without a price in effect, a price
that does not cover an offer of its model, an unknown field, an undefined name.

Fails with: `SettingsError`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar

from service.domain.catalog import Catalog, Model, Policy, Retired, Route, SizeRule, last_day
from service.domain.did_you_mean import did_you_mean
from service.domain.errors import InvalidValue
from service.domain.image_spec import REQUIRED_FEATURES, Size
from service.domain.key_allowances import MAX_COUNT
from service.domain.pricing import Price, TokenRates, Tokens, current_price
from service.domain.routing import SANDBOX
from service.settings.models_file import (
    ModelEntry,
    ModelsFile,
    PriceVersion,
    Rates,
    RetiredEntry,
    RouteEntry,
    Sizes,
)
from service.settings.yaml_file import FilePlace, open_place, read_yaml

E = TypeVar("E")
R = TypeVar("R")
MILLION = 1_000_000

ONLY_WITH = {
    "grid": "per_million_tokens",
    "table": "per_million_tokens",
    "image_in_per_reference": "per_million_tokens",
    "text_out_per_image": "per_million_tokens",
    "default_steps": "per_megapixel",
}
"""Key of a price → the basis that it needs."""

INPUT_IMAGE_FIELDS = frozenset({"image", "reference_images", "mask", "markup"})


def read_catalog(file: Path, today: date) -> Catalog:
    """Read the catalog of a file. Every route must have a price in effect on `today`. Raises `SettingsError`."""
    with open_place(file) as top:
        return _read(top, top.decode(read_yaml(file), ModelsFile), today)


def _read(top: FilePlace, file: ModelsFile, today: date) -> Catalog:
    reader = _Reader(top, file, today)
    models: dict[str, Model] = {}
    for name, entry in (top / "models").table(file.models, ModelEntry).items():
        with top.collecting():
            models[name] = reader.model(name, entry)
    _check_names(top, file, models)
    retired = (top / "retired").table(file.retired, RetiredEntry)
    for name, gone in retired.items():
        with top.collecting():
            (top / "retired" / name / "successor").lookup(models, gone.successor, file.models)
    return Catalog(
        default_model=file.default_model,
        models=models,
        retired={name: Retired(since=entry.since, successor=entry.successor) for name, entry in retired.items()},
    )


def _check_names(top: FilePlace, file: ModelsFile, models: dict[str, Model]) -> None:
    with top.collecting():
        (top / "default_model").lookup(models, file.default_model, file.models)
    owners = {name: [model] for name, model in models.items()}
    for name, model in models.items():
        for alias in model.aliases:
            with top.collecting():
                _check_alias(top / "models" / name / "aliases", alias, model, owners.setdefault(alias, []), models)
            owners[alias].append(model)
        if model.successor is not None:
            with top.collecting():
                (top / "models" / name / "successor").lookup(models, model.successor, file.models)


def _check_alias(
    place: FilePlace, alias: str, model: Model, owners: Sequence[Model], models: Mapping[str, Model]
) -> None:
    # Two models may share an alias if they end on different days: the later one has the alias after the other.
    same_day_owner = models.get(alias)
    if (same_day_owner and last_day(model) <= last_day(same_day_owner)) or any(
        last_day(model) == last_day(other) for other in owners
    ):
        raise place.error(f"'{alias}' is taken by another model, which does not end before this one")


class _Reader:
    """Reader of the tables that models refer to, then of the models."""

    def __init__(self, top: FilePlace, file: ModelsFile, today: date) -> None:
        self._models = top / "models"
        self._written = file
        self._sizes = _read_entries(top / "sizes", file.sizes, Sizes, lambda place, _, entry: _to_sizes(place, entry))
        self._carries = _read_entries(
            top / "carries", file.carries, frozenset[str], lambda place, _, fields: _check_fields(place, fields)
        )
        self._prices = _read_entries(
            top / "prices",
            file.prices,
            list[PriceVersion],
            lambda place, name, versions: _prices(place, name, versions, today),
        )

    def model(self, name: str, entry: ModelEntry) -> Model:
        place = self._models / name
        routes = [self._route(place / "routes" / index, route, entry.tiers) for index, route in enumerate(entry.routes)]
        if not routes:
            raise (place / "routes").error("a model needs at least one route")
        if entry.policy is Policy.WEIGHTED and not any(route.weight for route in routes):
            raise (place / "routes").error("policy weighted needs a route with a weight above 0")
        model = Model(
            id=name,
            owned_by=entry.owned_by,
            created=entry.created,
            sizes=(place / "sizes").lookup(self._sizes, entry.sizes, self._written.sizes),
            formats=entry.formats,
            fields=_check_fields(place / "fields", entry.fields),
            routes=(*routes, _sandbox_route(name, entry, routes[0])),
            tiers=entry.tiers,
            aliases=entry.aliases,
            input_fidelity=entry.input_fidelity,
            max_n=entry.max_n,
            max_references=entry.max_references,
            shutdown_date=entry.shutdown_date,
            successor=entry.successor,
            cache_seconds=entry.cache_seconds,
            policy=entry.policy,
        )
        _check_prices(place, model)
        return model

    def _route(self, place: FilePlace, entry: RouteEntry, tiers: tuple[str, ...]) -> Route:
        if entry.backend == SANDBOX:
            raise (place / "backend").error("every model has a sandbox route already")
        carries = (place / "carries").lookup(self._carries, entry.carries, self._written.carries)
        _check_delivers(place / "delivers", entry.delivers, carries, tiers)
        return Route(
            backend=entry.backend,
            model=entry.model,
            carries=carries,
            formats=entry.formats,
            prices=(place / "price").lookup(self._prices, entry.price, self._written.prices),
            sizes=(place / "sizes").lookup(self._sizes, entry.sizes, self._written.sizes) if entry.sizes else None,
            max_n=entry.max_n,
            max_references=entry.max_references,
            size_as=entry.size_as,
            references_as=entry.references_as,
            weight=entry.weight,
            delivers=entry.delivers,
        )


def _read_entries(
    place: FilePlace, value: object, kind: type[E], read: Callable[[FilePlace, str, E], R]
) -> dict[str, R]:
    """Read the entries of a table one by one."""
    entries: dict[str, R] = {}
    for name, entry in place.table(value, kind).items():
        with place.collecting():
            entries[name] = read(place / name, name, entry)
    return entries


def _check_delivers(place: FilePlace, tier: str | None, carries: frozenset[str], tiers: tuple[str, ...]) -> None:
    if tier is not None and tier not in tiers:
        raise place.error(f"'{tier}' is no tier of the model; it has {', '.join(tiers) or 'none'}")
    if tier is not None and "quality" in carries:
        raise place.error("the route carries quality, so it delivers what is asked for")


def _sandbox_route(name: str, entry: ModelEntry, first: Route) -> Route:
    """Return the sandbox's route: all features of the model, at the price of its first route."""
    return Route(
        backend=SANDBOX,
        model=name,
        carries=frozenset(REQUIRED_FEATURES),
        formats=frozenset(entry.formats),
        prices=first.prices,
        max_references=entry.max_references,
    )


def _to_sizes(place: FilePlace, entry: Sizes) -> SizeRule:
    try:
        choices = tuple(Size.parse(choice) for choice in entry.choices)
    except InvalidValue as invalid:
        raise (place / "choices").error(invalid.message) from None
    return SizeRule(
        choices=choices,
        multiple_of=entry.multiple_of,
        min_edge=entry.min_edge,
        max_edge=entry.max_edge,
        max_ratio=entry.max_ratio,
        min_pixels=entry.min_pixels,
        max_pixels=entry.max_pixels,
    )


def _check_fields(place: FilePlace, fields: frozenset[str]) -> frozenset[str]:
    unknown = sorted(fields - REQUIRED_FEATURES.keys())
    if unknown:
        near = did_you_mean(unknown[0], REQUIRED_FEATURES)
        raise place.error(
            f"unknown field '{unknown[0]}'; known are {', '.join(sorted(REQUIRED_FEATURES))}{near and f'.{near}'}"
        )
    return fields


def _prices(place: FilePlace, name: str, versions: list[PriceVersion], today: date) -> tuple[Price, ...]:
    prices = tuple(_to_price(place / index, name, entry) for index, entry in enumerate(versions))
    if len({price.effective for price in prices}) < len(prices):
        raise place.error("two versions take effect on the same day")
    if current_price(prices, today) is None:
        raise place.error("no version is in effect yet: a route without a price is not served")
    return prices


def _to_price(place: FilePlace, name: str, entry: PriceVersion) -> Price:
    bases = (entry.per_million_tokens, entry.per_image, entry.per_megapixel)
    if sum(basis is not None for basis in bases) != 1:
        raise place.error("exactly one of per_million_tokens, per_image and per_megapixel is needed")
    for key, basis in ONLY_WITH.items():
        if getattr(entry, key) and getattr(entry, basis) is None:
            raise (place / key).error(f"goes with {basis} only")
    if entry.approximate and entry.per_million_tokens:
        raise (place / "approximate").error("the vendor counts tokens, so what they cost is known")
    return Price(
        version=f"{name}@{entry.effective}",
        effective=entry.effective,
        source=entry.source,
        read_on=entry.read,
        rates=_to_rates(place / "per_million_tokens", entry.per_million_tokens),
        tokens=_to_tokens(place, entry),
        per_image=None if entry.per_image is None else (place / "per_image").to_nano_usd(entry.per_image),
        per_megapixel=None
        if entry.per_megapixel is None
        else (place / "per_megapixel").to_nano_usd(entry.per_megapixel),
        default_steps=entry.default_steps,
        approximate=entry.approximate,
    )


def _to_rates(place: FilePlace, entry: Rates | None) -> TokenRates | None:
    """Return rates per token. Cached tokens have the full rate unless the price states another."""
    if entry is None:
        return None
    dollars = {
        "text_in": entry.text_in,
        "image_in": entry.image_in,
        "image_out": entry.image_out,
        "text_cached": entry.text_in if entry.text_cached is None else entry.text_cached,
        "image_cached": entry.image_in if entry.image_cached is None else entry.image_cached,
        "text_out": entry.text_out,
    }
    return TokenRates(**{name: (place / name).to_nano_usd(amount, per=MILLION) for name, amount in dollars.items()})


def _to_tokens(place: FilePlace, entry: PriceVersion) -> Tokens:
    twice = sorted(entry.grid.keys() & entry.table.keys())
    if twice:
        raise (place / "table" / twice[0]).error("this tier has a grid already")
    if entry.per_million_tokens and entry.per_million_tokens.text_out and not entry.text_out_per_image:
        raise (place / "text_out_per_image").error("text_out has a price, so its tokens need a bound of at least 1")
    return Tokens(
        grid={tier: _check_token_count(place / "grid" / tier, cells) for tier, cells in entry.grid.items()},
        table={tier: _by_size(place / "table" / tier, counts) for tier, counts in entry.table.items()},
        image_in_per_reference=entry.image_in_per_reference or 0,
        text_out_per_image=entry.text_out_per_image or 0,
    )


def _by_size(place: FilePlace, counts: dict[str, int]) -> dict[Size, int]:
    if not counts:
        raise place.error("a table needs at least one size")
    try:
        return {Size.parse(size): _check_token_count(place / size, count) for size, count in counts.items()}
    except InvalidValue as invalid:
        raise place.error(invalid.message) from None


def _check_token_count(place: FilePlace, number: int) -> int:
    if not 0 < number <= MAX_COUNT:
        raise place.error(f"{number} is not a number between 1 and {MAX_COUNT}")
    return number


def _check_prices(place: FilePlace, model: Model) -> None:
    """Raise for a route whose price does not cover the model. The sandbox has the prices of the first route."""
    *real, sandbox = model.routes
    for index, route in (*enumerate(real), (0, sandbox)):
        for price in route.prices:
            gap = _unpriced(model, route, price)
            if gap:
                raise (place / "routes" / index / "price").error(f"'{price.version}' has no {gap}")


def _unpriced(model: Model, route: Route, price: Price) -> str | None:
    """Return the missing part of a price for the offers of a model on a route, or None."""
    fields, tokens = model.fields & route.carries, price.tokens
    if price.rates is None:
        stepped = price.per_megapixel is not None and "steps" in fields
        return "default_steps, and the route carries steps" if stepped and not price.default_steps else None
    unpriced = [tier for tier in model.tiers if tier not in tokens.tiers]
    if unpriced or not tokens.tiers:
        return f"grid and no table for the tier '{unpriced[0]}'" if unpriced else "grid and no table"
    if fields & INPUT_IMAGE_FIELDS and not tokens.image_in_per_reference:
        return "image_in_per_reference, and the route carries images"
    return _unpriced_in_table(model, (route.sizes or model.sizes).choices, tokens)


def _unpriced_in_table(model: Model, choices: tuple[Size, ...], tokens: Tokens) -> str | None:
    """Return the missing part of a table, which prices only the sizes that it lists, or None."""
    for tier in model.tiers or sorted(tokens.table):
        row = tokens.table.get(tier)
        if row is None:
            continue
        if not choices:
            return f"grid for the tier '{tier}': a table needs sizes with choices"
        missing = [size for size in choices if size not in row]
        if missing:
            return f"tokens for the tier '{tier}' at {missing[0]}"
    return None
