"""What an operator is warned of before, and after, a vendor shuts a model down.

Rule: one sentence for each thing in the settings that has ended or ends soon, or that leads to such a model: the model,
`default_model`, a successor, and a team that may use no other. It is a warning, because the models that are left go on.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from service.domain.catalog import Catalog, Model, end_of
from service.domain.teams import Team

SOON = timedelta(days=30)


def endings(catalog: Catalog, teams: Iterable[Team], today: date) -> list[str]:
    """Return the warnings about models that have ended by `today`, or end within 30 days."""
    ending = {name: model for name, model in catalog.models.items() if end_of(model) <= today + SOON}
    return [
        *(_of_model(model, catalog, today) for model in ending.values()),
        *_of_default(catalog, ending, today),
        *_of_successors(catalog, ending, today),
        *_of_teams(teams, ending),
    ]


def _of_model(model: Model, catalog: Catalog, today: date) -> str:
    heir = catalog.named(model.id, end_of(model))
    then = f"then '{heir.id}' answers to the name" if heir and heir is not model else "then the name is a 404"
    lost = [alias for alias in model.aliases if catalog.named(alias, end_of(model)) is model]
    aliases = f"; aliases that become 404s: {', '.join(lost)}" if lost else ""
    hint = f"; its successor is '{model.successor}'" if model.successor else ""
    return f"models.yaml: $.models.{model.id}.shutdown_date: {_when(model, today)}: {then}{aliases}{hint}"


def _of_default(catalog: Catalog, ending: dict[str, Model], today: date) -> Iterator[str]:
    model = ending.get(catalog.default_model)
    if model and catalog.named(None, end_of(model)) is model:
        yield (
            f"models.yaml: $.default_model: '{model.id}' {_when(model, today)}: "
            "then a request that names no model is a 404"
        )


def _of_successors(catalog: Catalog, ending: dict[str, Model], today: date) -> Iterator[str]:
    named = [(f"$.models.{name}.successor", model.successor) for name, model in catalog.models.items()]
    named += [(f"$.retired.{name}.successor", gone.successor) for name, gone in catalog.retired.items()]
    for place, successor in named:
        if successor in ending:
            yield f"models.yaml: {place}: '{successor}' {_when(ending[successor], today)} itself"


def _of_teams(teams: Iterable[Team], ending: dict[str, Model]) -> Iterator[str]:
    for team in teams:
        if team.models and team.models <= ending.keys():
            last = max(end_of(ending[name]) for name in team.models)
            yield f"teams.yaml: $.teams.{team.name}.models: from {last} on the team may use no model: all of these end"


def _when(model: Model, today: date) -> str:
    days = (end_of(model) - today).days
    if days <= 0:
        return f"ended on {model.shutdown_date}"
    return f"ends on {model.shutdown_date}, in {days} day{'' if days == 1 else 's'}"
