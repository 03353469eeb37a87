"""Structure of `models.yaml`: type, bounds, default and description of each key.

`docs/configuration.md` and the JSON Schema are generated from it.

Rule: the bounds of one value stand here. Conditions on several values stand in `models.py`. Tables are read entry by
entry, so that an error names its entry; `of` is the type of the entries.
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
    """Rule for the sizes of images."""

    choices: Annotated[
        list[str], Meta(description="List of the only sizes, such as 1024x1024. The other keys are ignored then.")
    ] = []
    multiple_of: Annotated[Pixels, Meta(description="Number of pixels that width and height are multiples of.")] = 1
    min_edge: Annotated[Pixels, Meta(description="Minimum length of the shorter edge in pixels.")] = 1
    max_edge: Annotated[Pixels, Meta(description="Maximum length of the longer edge in pixels.")] = 65_536
    max_ratio: Annotated[Pixels, Meta(description="Maximum ratio of the longer edge to the shorter one.")] = 65_536
    min_pixels: Annotated[Pixels, Meta(description="Minimum of width times height.")] = 1
    max_pixels: Annotated[Pixels, Meta(description="Maximum of width times height.")] = 1_000_000_000


class Rates(Entry, frozen=True):
    """US dollars for a million tokens of each kind."""

    text_in: Annotated[Dollars, Meta(description="Price of tokens of the prompt.")]
    image_in: Annotated[Dollars, Meta(description="Price of tokens of input images.")]
    image_out: Annotated[Dollars, Meta(description="Price of tokens of generated images.")]
    text_cached: Annotated[
        Dollars | None,
        Meta(description="Price of prompt tokens that the vendor had cached; by default that of `text_in`."),
    ] = None
    image_cached: Annotated[
        Dollars | None,
        Meta(description="Price of image tokens that the vendor had cached; by default that of `image_in`."),
    ] = None
    text_out: Annotated[
        Dollars,
        Meta(description="Price of tokens of text that the vendor writes beside an image; needs `text_out_per_image`."),
    ] = Decimal(0)


class PriceVersion(Entry, frozen=True):
    """Version of a price: exactly one of per_million_tokens, per_image and per_megapixel."""

    effective: Annotated[date, Meta(description="First day of this version, in UTC. Two versions have different days.")]
    source: Annotated[str, Meta(description="Address of the page that states the price.")]
    read: Annotated[date, Meta(description="Day on which the source was read.")]
    per_million_tokens: Annotated[
        Rates | None,
        Meta(description="Price of a million tokens; with `grid` or `table` for every tier that is sold at it."),
    ] = None
    grid: Annotated[
        dict[str, TokenCount],
        Meta(description="Base number of the vendor's formula for output tokens of any size, by tier."),
    ] = {}
    table: Annotated[
        dict[str, dict[str, TokenCount]], Meta(description="Output tokens by size, for each tier without a grid.")
    ] = {}
    per_image: Annotated[Dollars | None, Meta(description="US dollars for an image of any size.")] = None
    per_megapixel: Annotated[Dollars | None, Meta(description="US dollars for a million pixels.")] = None
    default_steps: Annotated[
        Count | None,
        Meta(description="Number of steps that `per_megapixel` includes. Further steps cost in proportion."),
    ] = None
    image_in_per_reference: Annotated[Count | None, Meta(description="Tokens that are held for each input image.")] = (
        None
    )
    text_out_per_image: Annotated[
        Count | None, Meta(description="Tokens that are held for text that the vendor writes beside each image.")
    ] = None
    approximate: Annotated[
        bool, Meta(description="Whether the vendor does not state its price, so that the booked cost is an estimate.")
    ] = False


class RouteEntry(Entry, frozen=True):
    """Route to a model at a backend."""

    backend: Annotated[str, Meta(description="Name of a backend in gateway.yaml. It may be off, or missing.")]
    model: Annotated[str, Meta(description="Name of the model at the backend.")]
    carries: Annotated[str, Meta(description="Name of an entry under `carries`.")]
    formats: Annotated[frozenset[str], Meta(description="File formats that the route can deliver.")]
    price: Annotated[str, Meta(description="Name of an entry under `prices`.")]
    sizes: Annotated[
        str | None,
        Meta(description="Name of an entry under `sizes`, if the route can draw fewer sizes than the model."),
    ] = None
    max_n: Annotated[
        Count, Meta(description="Maximum number of images in one call. A larger request is split into several calls.")
    ] = 10
    max_references: Annotated[References, Meta(description="Maximum number of input images of a call.")] = 16
    size_as: Annotated[SizeAs, Meta(description="Form in which the size is sent: in pixels, or as a ratio.")] = (
        SizeAs.PIXELS
    )
    references_as: Annotated[
        ReferencesAs,
        Meta(description="Form in which input images are sent: as parts of a form, or in one of two fields."),
    ] = ReferencesAs.PARTS
    weight: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Share of requests with the policy `weighted`; 0 puts the route behind all others.",
        ),
    ] = 1
    delivers: Annotated[
        str | None, Meta(description="Only tier that the route delivers, where the vendor takes no `quality`.")
    ] = None


class ModelEntry(Entry, frozen=True):
    """Model that callers may request."""

    owned_by: Annotated[str, Meta(description="Owner of the model, for `GET /v1/models`.")]
    created: Annotated[date, Meta(description="First day of the model.")]
    sizes: Annotated[str, Meta(description="Name of an entry under `sizes`.")]
    formats: Annotated[tuple[str, ...], Meta(description="Values of `output_format`; the first is the default.")]
    fields: Annotated[
        frozenset[str], Meta(description="Fields of the API that the model takes, beyond those of every model.")
    ]
    routes: Annotated[
        tuple[RouteEntry, ...], Meta(description="Routes to the model, at least one, in the order of `policy`.")
    ]
    tiers: Annotated[
        tuple[str, ...], Meta(description="Values of `quality`; none for a model without that choice.")
    ] = ()
    aliases: Annotated[tuple[str, ...], Meta(description="Other names of the model.")] = ()
    input_fidelity: Annotated[tuple[str, ...], Meta(description="Allowed values of input_fidelity.")] = ()
    max_n: Annotated[Count, Meta(description="Maximum number of images in one request.")] = 10
    max_references: Annotated[References, Meta(description="Maximum number of input images in one request.")] = 0
    shutdown_date: Annotated[date | None, Meta(description="First day on which the model is a 404.")] = None
    successor: Annotated[str | None, Meta(description="Model that callers should use instead.")] = None
    cache_seconds: Annotated[
        CacheSeconds,
        Meta(
            description="Lifetime of cached results of the model; 0 switches its cache off. By default `cache.seconds`."
        ),
    ] = None
    policy: Annotated[
        Policy, Meta(description="Order in which the routes are tried: as listed, by weight, or by worst price.")
    ] = Policy.PRIORITY


class RetiredEntry(Entry, frozen=True):
    """Retired model."""

    since: Annotated[date, Meta(description="First day without the model.")]
    successor: Annotated[str, Meta(description="Model that callers should use instead.")]


class ModelsFile(Entry, frozen=True):
    """Models that the gateway offers, with their fields, routes and prices."""

    default_model: Annotated[str, Meta(description="Model of a request that names none.")]
    sizes: Annotated[dict[str, object], Meta(description="Size rules by name.", extra={"of": Sizes})]
    carries: Annotated[
        dict[str, object],
        Meta(description="Lists of fields that a route can pass on, by name.", extra={"of": frozenset[str]}),
    ]
    prices: Annotated[
        dict[str, object],
        Meta(
            description="Prices by name, each with its versions; the latest version in effect applies.",
            extra={"of": list[PriceVersion]},
        ),
    ]
    models: Annotated[dict[str, object], Meta(description="Models by their ids.", extra={"of": ModelEntry})]
    retired: Annotated[
        dict[str, object], Meta(description="Retired models by their ids.", extra={"of": RetiredEntry})
    ] = {}
