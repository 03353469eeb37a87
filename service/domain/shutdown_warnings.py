"""Warnings for operators about models that a vendor shuts down.

Rule: one sentence for each setting that ends soon, has ended, or leads to such a model. These settings are the model,
`default_model`, a successor, and a team that may use no other model. The start goes on, because the remaining models
work.

Fails with: nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from service.domain.catalog import Catalog, Model, last_day
from service.domain.team_access import Team

SOON = timedelta(days=30)


def build_shutdown_warnings(catalog: Catalog, teams: Iterable[Team], today: date) -> list[str]:
    """Return the warnings about models that have ended by `today`, or end within 30 days."""
    ending = {name: model for name, model in catalog.models.items() if last_day(model) <= today + SOON}
    return [
        *(_model_warning(model, catalog, today) for model in ending.values()),
        *_default_model_warnings(catalog, ending, today),
        *_successor_warnings(catalog, ending, today),
        *_team_warnings(teams, ending),
    ]


def _model_warning(model: Model, catalog: Catalog, today: date) -> str:
    successor = catalog.lookup(model.id, last_day(model))
    consequence = (
        f"then '{successor.id}' answers to the name"
        if successor and successor is not model
        else "then the name is a 404"
    )
    lost = [alias for alias in model.aliases if catalog.lookup(alias, last_day(model)) is model]
    aliases = f"; aliases that become 404s: {', '.join(lost)}" if lost else ""
    hint = f"; its successor is '{model.successor}'" if model.successor else ""
    return (
        f"models.yaml: $.models.{model.id}.shutdown_date: {_describe_date(model, today)}: {consequence}{aliases}{hint}"
    )


def _default_model_warnings(catalog: Catalog, ending: dict[str, Model], today: date) -> Iterator[str]:
    model = ending.get(catalog.default_model)
    if model and catalog.lookup(None, last_day(model)) is model:
        yield (
            f"models.yaml: $.default_model: '{model.id}' {_describe_date(model, today)}: "
            "then a request that names no model is a 404"
        )


def _successor_warnings(catalog: Catalog, ending: dict[str, Model], today: date) -> Iterator[str]:
    named = [(f"$.models.{name}.successor", model.successor) for name, model in catalog.models.items()]
    named += [(f"$.retired.{name}.successor", gone.successor) for name, gone in catalog.retired.items()]
    for place, successor in named:
        if successor in ending:
            yield f"models.yaml: {place}: '{successor}' {_describe_date(ending[successor], today)} itself"


def _team_warnings(teams: Iterable[Team], ending: dict[str, Model]) -> Iterator[str]:
    for team in teams:
        if team.models and team.models <= ending.keys():
            last = max(last_day(ending[name]) for name in team.models)
            yield f"teams.yaml: $.teams.{team.name}.models: from {last} on the team may use no model: all of these end"


def _describe_date(model: Model, today: date) -> str:
    days = (last_day(model) - today).days
    if days <= 0:
        return f"ended on {model.shutdown_date}"
    return f"ends on {model.shutdown_date}, in {days} day{'' if days == 1 else 's'}"
