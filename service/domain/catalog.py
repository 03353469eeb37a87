"""Models, their features, and the routes that serve them. The facts are data (`config/models.yaml`).

Rule: a request is checked against its model before anything is fetched or bought. A field that the model lacks is
refused by name. Pure.

Fails with: `UnknownParameter` or `InvalidValue` for such a field; `ModelNotFound` for an unknown or retired model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from service.domain import errors
from service.domain.image_spec import EXTENSIONS, Size, Spec, check_conflicts, required_features
from service.domain.pricing import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """The sizes of a model or a route. If there are `choices`, no other size is possible.

    Edges and areas are in pixels; `max_ratio` is long edge over short edge.
    """

    choices: tuple[Size, ...] = ()
    multiple_of: int = 1
    min_edge: int = 1
    max_edge: int = 1_000_000
    max_ratio: int = 1_000_000
    min_pixels: int = 1
    max_pixels: int = 1_000_000_000_000

    def problem(self, size: Size) -> str | None:
        """Return why this size is refused, in the vendor's words where it has them, or None."""
        if self.choices:
            offered = ", ".join(str(choice) for choice in self.choices)
            return None if size in self.choices else f"Invalid size '{size}'. Supported sizes are {offered} and auto."
        long, short = max(size.width, size.height), min(size.width, size.height)
        checks = (
            (
                size.width % self.multiple_of or size.height % self.multiple_of,
                f"Invalid size '{size}'. Width and height must both be divisible by {self.multiple_of}.",
            ),
            (long > self.max_edge, f"The longest edge must be less than or equal to {self.max_edge}."),
            (short < self.min_edge, f"The shortest edge must be at least {self.min_edge}."),
            (
                long > self.max_ratio * short,
                f"Invalid size '{size}'. The long edge may be at most {self.max_ratio} times the short edge.",
            ),
            (
                size.pixels < self.min_pixels,
                f"Invalid size '{size}'. Requested resolution is below the current minimum pixel budget.",
            ),
            (
                size.pixels > self.max_pixels,
                f"Invalid size '{size}'. Requested resolution is above the current maximum pixel budget.",
            ),
        )
        return next((message for broken, message in checks if broken), None)


class SizeAs(StrEnum):
    """The form of a size on a route."""

    PIXELS = "pixels"
    ASPECT_RATIO = "aspect_ratio"


class ReferencesAs(StrEnum):
    """The form of input images on a route."""

    PARTS = "parts"
    IMAGE_URL = "image_url"
    REFERENCE_IMAGES = "reference_images"


class Policy(StrEnum):
    """The order in which a model's routes are tried."""

    PRIORITY = "priority"  # in the order of the catalog
    WEIGHTED = "weighted"  # at random, in proportion to their weights
    CHEAPEST = "cheapest"  # by the maximum price of the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to a model: a backend, its name of the model, the fields it carries, and its prices.

    Attributes:
        delivers: The only tier of a route that takes no tier.
        weight: Weight of the route under a weighted policy. A route with 0 comes behind all others.
    """

    backend: str
    model: str
    carries: frozenset[str]
    formats: frozenset[str]
    prices: tuple[Price, ...]
    sizes: SizeRule | None = None
    max_n: int = 10
    max_references: int = 16
    size_as: SizeAs = SizeAs.PIXELS
    references_as: ReferencesAs = ReferencesAs.PARTS
    weight: int = 1
    delivers: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model as callers see it, whichever backend serves it."""

    id: str
    owned_by: str
    created: date
    sizes: SizeRule
    formats: tuple[str, ...]
    fields: frozenset[str]
    routes: tuple[Route, ...]
    tiers: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    input_fidelity: tuple[str, ...] = ()
    max_n: int = 10
    max_references: int = 0
    shutdown_date: date | None = None
    successor: str | None = None
    cache_seconds: int | None = None
    policy: Policy = Policy.PRIORITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A model that ended, and its successor."""

    since: date
    successor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All models, by id."""

    default_model: str
    models: Mapping[str, Model]
    retired: Mapping[str, Retired] = field(default_factory=dict)

    def get(self, name: str | None, today: date) -> Model:
        """Return the model of an id or alias (None: the default). Raises `ModelNotFound` if it is unknown or ended."""
        requested, model = name or self.default_model, self.lookup(name, today)
        if model and not is_shut_down(model, today):
            return model
        since, successor = self._shutdown(requested, model)
        if since is None:
            text = f"The model '{requested[:80]}' does not exist. GET /v1/models lists the models on offer."
        else:
            hint = f" Use '{successor}' instead." if successor else ""
            text = f"The model '{requested[:80]}' was shut down on {since}.{hint}"
        raise errors.ModelNotFound(text, param="model")

    def lookup(self, name: str | None, today: date) -> Model | None:
        """Return the model of an id or alias (None: the default), ended or not; None if it is unknown.

        A name may be an alias of a model that lasts longer. That model takes over the name when the other one ends.
        """
        requested = name or self.default_model
        by_id = self.models.get(requested)
        if by_id and not is_shut_down(by_id, today):
            return by_id
        by_alias = sorted((model for model in self.models.values() if requested in model.aliases), key=last_day)
        return next(
            (model for model in by_alias if not is_shut_down(model, today)), by_id or next(iter(by_alias), None)
        )

    def _shutdown(self, name: str, model: Model | None) -> tuple[date | None, str | None]:
        if model:
            return model.shutdown_date, model.successor
        retired = self.retired.get(name)
        return (retired.since, retired.successor) if retired else (None, None)

    @property
    def tiers(self) -> frozenset[str]:
        """Every tier of a model."""
        return frozenset(tier for model in self.models.values() for tier in model.tiers)

    def available(self, today: date) -> tuple[Model, ...]:
        """Return every model that has not ended."""
        return tuple(model for model in self.models.values() if not is_shut_down(model, today))


def last_day(model: Model) -> date:
    """Return the shutdown date of a model; `date.max` if the vendor has announced none."""
    return model.shutdown_date or date.max


def is_shut_down(model: Model, today: date) -> bool:
    """Tell whether the announced shutdown date has come."""
    return model.shutdown_date is not None and today >= model.shutdown_date


def check_spec(spec: Spec, model: Model) -> None:
    """Raise the first reason why this model cannot honour this spec.

    Raises:
        UnknownParameter: a field of another vendor's API that this model does not have.
        InvalidValue: any other reason; `param` names the field.
    """
    check_conflicts(spec)
    for name in required_features(spec):
        if name not in model.fields:
            raise build_unsupported_error(name, f"model '{model.id}'")
    for param, complaint in _problems(spec, model):
        if complaint:
            raise errors.InvalidValue(complaint, param=param, code="invalid_value")


def build_unsupported_error(name: str, provider: str) -> errors.RequestError:
    """Build the error for one field, in the words that OpenAI's clients already match on."""
    if name in EXTENSIONS:
        return errors.UnknownParameter(f"Unknown parameter: '{name}'. It is not supported by {provider}.", param=name)
    text = "Transparent background is" if name == "background" else f"{name} is"
    return errors.InvalidValue(f"{text} not supported by {provider}.", param=name, code="invalid_value")


def _problems(spec: Spec, model: Model) -> tuple[tuple[str, str | None], ...]:
    return (
        ("quality", _not_offered("quality", spec.tier, (*model.tiers, "auto"), model)),
        ("output_format", _not_offered("output_format", spec.output_format, model.formats, model)),
        ("input_fidelity", _not_offered("input_fidelity", spec.input_fidelity, model.input_fidelity, model)),
        ("n", f"n must be between 1 and {model.max_n}." if not 1 <= spec.n <= model.max_n else None),
        ("image", too_many_references(spec, model.max_references)),
        ("size", model.sizes.problem(spec.size) if spec.size else None),
    )


def _not_offered(name: str, value: str | None, offered: tuple[str, ...], model: Model) -> str | None:
    if value is None or value in offered:
        return None
    return f"Invalid value '{value[:40]}' for {name}. Model '{model.id}' supports {', '.join(offered)}."


def too_many_references(spec: Spec, limit: int) -> str | None:
    """Return the complaint about too many input images, or None."""
    count = len(spec.references)
    return f"At most {limit} pictures can be given; got {count}." if count > limit else None
