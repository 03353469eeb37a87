"""The shape of `models.yaml`, with what each key means: `docs/configuration.md` and the JSON Schema are made from it.

Rule: what one value may be is said here, what several must be together in `models.py`. Tables are read entry by entry,
so that an error names its entry; `of` says what the entries are.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from service.domain.catalog import Policy, ReferencesAs, SizeAs
from service.settings.yaml_file import CacheSeconds, Count, Dollars, Entry, TokenCount

Pixels = Annotated[int, Meta(ge=1, le=1_000_000_000)]
References = Annotated[int, Meta(ge=0, le=1_000)]


class Sizes(Entry, frozen=True):
    """Which sizes can be drawn."""

    choices: Annotated[
        list[str], Meta(description="The only sizes there are, as 1024x1024; the other keys then say nothing.")
    ] = []
    multiple_of: Annotated[Pixels, Meta(description="Width and height are multiples of so many pixels.")] = 1
    min_edge: Annotated[Pixels, Meta(description="Pixels of the shorter edge.")] = 1
    max_edge: Annotated[Pixels, Meta(description="Pixels of the longer edge.")] = 65_536
    max_ratio: Annotated[Pixels, Meta(description="The longer edge is at most so many times the shorter.")] = 65_536
    min_pixels: Annotated[Pixels, Meta(description="Width times height.")] = 1
    max_pixels: Annotated[Pixels, Meta(description="Width times height.")] = 1_000_000_000


class Rates(Entry, frozen=True):
    """US dollars for a million tokens of each kind."""

    text_in: Annotated[Dollars, Meta(description="Of the prompt.")]
    image_in: Annotated[Dollars, Meta(description="Of pictures that are sent along.")]
    image_out: Annotated[Dollars, Meta(description="Of pictures that are drawn.")]
    text_cached: Annotated[
        Dollars | None, Meta(description="Of what the vendor had at hand of the prompt; else as text_in.")
    ] = None
    image_cached: Annotated[
        Dollars | None, Meta(description="Of what the vendor had at hand of pictures; else as image_in.")
    ] = None
    text_out: Annotated[
        Dollars, Meta(description="Of what the vendor writes beside a picture; needs text_out_per_image.")
    ] = Decimal(0)


class PriceVersion(Entry, frozen=True):
    """One version of a price: exactly one of per_million_tokens, per_image and per_megapixel."""

    effective: Annotated[date, Meta(description="From when on it counts, UTC. Two versions have two days.")]
    source: Annotated[str, Meta(description="Where it was read.")]
    read: Annotated[date, Meta(description="When it was read there.")]
    per_million_tokens: Annotated[
        Rates | None, Meta(description="The price of tokens; with grid or table for every tier that is sold at it.")
    ] = None
    grid: Annotated[
        dict[str, TokenCount],
        Meta(description="For each tier the number from which the vendor's formula makes output tokens of any size."),
    ] = {}
    table: Annotated[
        dict[str, dict[str, TokenCount]], Meta(description="For each tier without a grid, output tokens by size.")
    ] = {}
    per_image: Annotated[Dollars | None, Meta(description="US dollars for a picture of any size.")] = None
    per_megapixel: Annotated[Dollars | None, Meta(description="US dollars for a million pixels.")] = None
    default_steps: Annotated[
        Count | None, Meta(description="With per_megapixel: steps beyond these cost in proportion.")
    ] = None
    image_in_per_reference: Annotated[
        Count | None, Meta(description="Tokens that are held for each picture that a caller sends along.")
    ] = None
    text_out_per_image: Annotated[
        Count | None, Meta(description="Tokens that are held for what the vendor writes beside each picture.")
    ] = None
    approximate: Annotated[
        bool, Meta(description="The vendor says nowhere what it charges: what is booked is an estimate.")
    ] = False


class RouteEntry(Entry, frozen=True):
    """One way to a model."""

    backend: Annotated[str, Meta(description="A name under backends in gateway.yaml. It may be off, or missing.")]
    model: Annotated[str, Meta(description="What the model is called there.")]
    carries: Annotated[str, Meta(description="A name under carries.")]
    formats: Annotated[frozenset[str], Meta(description="Formats of files that this way can deliver.")]
    price: Annotated[str, Meta(description="A name under prices.")]
    sizes: Annotated[str | None, Meta(description="A name under sizes, if it can draw fewer than the model.")] = None
    max_n: Annotated[Count, Meta(description="Pictures in one call; for more there are several calls.")] = 10
    max_references: Annotated[References, Meta(description="Pictures that it takes along.")] = 16
    size_as: Annotated[SizeAs, Meta(description="How the size is told: in pixels, or by ratio.")] = SizeAs.PIXELS
    references_as: Annotated[
        ReferencesAs, Meta(description="How pictures are sent along: in a form, or in one of two fields.")
    ] = ReferencesAs.PARTS
    weight: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Its share where policy is weighted; 0: behind all others.")
    ] = 1
    delivers: Annotated[
        str | None, Meta(description="The one tier that comes this way, where quality cannot be told.")
    ] = None


class ModelEntry(Entry, frozen=True):
    """One model as callers see it."""

    owned_by: Annotated[str, Meta(description="Whose it is, for `GET /v1/models`.")]
    created: Annotated[date, Meta(description="Since when there is this model.")]
    sizes: Annotated[str, Meta(description="A name under sizes.")]
    formats: Annotated[tuple[str, ...], Meta(description="Values of output_format; the first is what nobody asks for.")]
    fields: Annotated[
        frozenset[str], Meta(description="Fields of the API, beyond those of every model, that it takes.")
    ]
    routes: Annotated[tuple[RouteEntry, ...], Meta(description="The ways to it, at least one, in the order of policy.")]
    tiers: Annotated[tuple[str, ...], Meta(description="Values of quality; none where there is no such choice.")] = ()
    aliases: Annotated[tuple[str, ...], Meta(description="Other names that it is asked for by.")] = ()
    input_fidelity: Annotated[tuple[str, ...], Meta(description="Values of input_fidelity.")] = ()
    max_n: Annotated[Count, Meta(description="Pictures in one request.")] = 10
    max_references: Annotated[References, Meta(description="Pictures that a request may bring along.")] = 0
    shutdown_date: Annotated[date | None, Meta(description="From when on it is a 404.")] = None
    successor: Annotated[str | None, Meta(description="The model to ask for instead.")] = None
    cache_seconds: Annotated[
        CacheSeconds, Meta(description="How long its results are kept, 0: not at all; else as cache.seconds.")
    ] = None
    policy: Annotated[
        Policy, Meta(description="In which order its routes are asked: as listed, by lot, or by worst price.")
    ] = Policy.PRIORITY


class RetiredEntry(Entry, frozen=True):
    """A model that is gone."""

    since: Annotated[date, Meta(description="Since when.")]
    successor: Annotated[str, Meta(description="The model to ask for instead.")]


class ModelsFile(Entry, frozen=True):
    """Every model the gateway offers: what it can do, which backends serve it, and what that costs."""

    default_model: Annotated[str, Meta(description="The model of a request that names none.")]
    sizes: Annotated[dict[str, object], Meta(description="Rules of sizes, by name.", extra={"of": Sizes})]
    carries: Annotated[
        dict[str, object],
        Meta(description="Lists of fields that a route can hand on, by name.", extra={"of": frozenset[str]}),
    ]
    prices: Annotated[
        dict[str, object],
        Meta(
            description="Prices by name, each with its versions; the latest that is in effect counts.",
            extra={"of": list[PriceVersion]},
        ),
    ]
    models: Annotated[dict[str, object], Meta(description="The models, by id.", extra={"of": ModelEntry})]
    retired: Annotated[
        dict[str, object], Meta(description="Models that are gone, by id.", extra={"of": RetiredEntry})
    ] = {}
