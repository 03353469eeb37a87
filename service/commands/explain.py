"""`image-gateway explain`: routes of a request in their order, their worst prices, and reasons against other routes.

Rule: the decision is made by the code that serves requests. The command connects to nothing: it fetches no images and
reads no limits.

Fails with: the refusal that the gateway would answer, and exit code 2.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.adapters.uploads import FileUploads
from service.api.http.body_to_spec import edit_references, generation_references, to_spec
from service.api.schemas.requests import EditBody, GenerateBody, decode_json
from service.commands.common import (
    ConfigOption,
    Output,
    OutputOption,
    add_column,
    config_folder,
    exit_on_error,
    print_rows,
    stdout,
)
from service.composition.app_config import now
from service.domain.catalog import Model, Policy, check_spec
from service.domain.did_you_mean import did_you_mean
from service.domain.emulation_notes import build_notes, expect_served
from service.domain.errors import InvalidValue, TeamNotFound
from service.domain.image_spec import Spec
from service.domain.limit_errors import format_dollars
from service.domain.routing import (
    SANDBOX,
    Candidates,
    Plan,
    find_candidates,
    max_price,
    order_plans,
    request_hash,
    require_plans,
)
from service.domain.team_access import UNRESTRICTED_TEAM, Team, authorize
from service.settings.gateway import GatewaySettings, read_gateway
from service.settings.models import read_catalog
from service.settings.teams import read_teams
from service.usecases.ports.uploads import Uploads

FIELDS = ("place", "backend", "model", "at_most_usd", "price", "notes", "not_asked_because")
TABLE_WIDTH = 10_000  # wider than any table, because a table that must fit a window loses its narrow columns


def explain(  # noqa: PLR0913, PLR0917 (a command's options)
    request: Annotated[Path, typer.Argument(help="File with the JSON body of a request; - is standard input.")],
    team: Annotated[str | None, typer.Option("--team", help="Team of the caller; unrestricted by default.")] = None,
    edit: Annotated[bool, typer.Option("--edit", help="The request is for /v1/images/edits.")] = False,  # noqa: FBT002
    all_backends: Annotated[bool, typer.Option("--all", help="Treat every vendor as on.")] = False,  # noqa: FBT002
    request_id: Annotated[str, typer.Option("--request-id", help="Decides the order of a weighted model.")] = "req_0",
    output: OutputOption = Output.TABLE,
    config: ConfigOption = None,
) -> None:
    """Print the routes of a request in the order in which they would be tried."""
    folder, today = config_folder(config), now().date()
    settings = read_gateway(folder / "gateway.yaml", os.environ)
    catalog = read_catalog(folder / "models.yaml", today)
    teams = read_teams(folder / "teams.yaml", catalog, settings.all_backends).teams
    with exit_on_error():
        caller_team = find_team(team, teams) if team else UNRESTRICTED_TEAM
        unresolved, partials = parse_request(
            read_input(request),
            caller_team,
            FileUploads(max_bytes=settings.requests.max_image_bytes),
            edit=edit,
        )
        model = catalog.get(unresolved.model, today)
        spec = replace(unresolved, model=model.id)
        authorize(caller_team, spec, model)
        check_spec(spec, model)
        result = find_candidates(spec, model, enabled_backends(settings, all_backends=all_backends), today, caller_team)
        plans = order_plans(result.plans, spec, model, request_hash(request_id), partials)
        route_rows, excluded_rows = build_route_rows(plans, spec, model, partials), build_excluded_rows(result)
        if output is Output.TABLE:
            stdout.print(escape(f"{model.id} by {model.policy.value}{_random_order_note(model, request_id)}"))
            print_table(route_rows)
            print_table(excluded_rows)
        else:
            print_rows(FIELDS, combine_rows(route_rows, excluded_rows), output, str)
        require_plans(spec, model, result)


def read_input(file: Path) -> bytes:
    """Read a file, or standard input for -. Raises `InvalidValue`."""
    try:
        return sys.stdin.buffer.read() if file == Path("-") else file.read_bytes()
    except OSError as error:
        raise InvalidValue(f"{file} cannot be read: {error.strerror}.", param="request") from None


def find_team(name: str, teams: Mapping[str, Team]) -> Team:
    """Return a team of teams.yaml. Raises `TeamNotFound`."""
    if name not in teams:
        raise TeamNotFound(f"There is no such team.{did_you_mean(name, teams)}", param="team")
    return teams[name]


def parse_request(raw: bytes, team: Team, uploads: Uploads, *, edit: bool) -> tuple[Spec, int]:
    """Parse a body into a spec and its number of previews. Raises `RequestError`."""
    if edit:
        change = decode_json(raw, EditBody)
        references, mask = edit_references(change, team, uploads)
        return to_spec(change, team, references=references, mask=mask), change.partial_images or 0
    body = decode_json(raw, GenerateBody)
    references = generation_references(body, uploads)
    return to_spec(body, team, references=references), body.partial_images or 0


def enabled_backends(settings: GatewaySettings, *, all_backends: bool) -> frozenset[str]:
    """Return the backends with a key, or all of them, and the sandbox if it is on."""
    enabled = settings.http_backends if all_backends else settings.api_keys
    return frozenset({*enabled, *((SANDBOX,) if settings.sandbox.enabled else ())})


def _random_order_note(model: Model, request_id: str) -> str:
    return f"; random order of request {request_id}" if model.policy is Policy.WEIGHTED else ""


Rows = list[tuple[str, ...]]
"""Table: its header, then its rows."""


def build_route_rows(plans: Iterable[Plan], spec: Spec, model: Model, partials: int) -> Rows:
    """Build the rows of the routes: place, backend, name of the model there, worst price, price version, and notes."""
    rows: Rows = [("", "backend", "model", "at most", "price", "notes")]
    for position, plan in enumerate(plans, start=1):
        max_cost = format_dollars(max_price(spec, model, plan, partials))
        extra = [f"weight={plan.route.weight}"] if model.policy is Policy.WEIGHTED else []
        extra += build_notes(expect_served(spec, plan, partials))
        route = plan.route
        rows.append((str(position), route.backend, route.model, max_cost, plan.price.version, ", ".join(extra)))
    return rows


def build_excluded_rows(result: Candidates) -> Rows:
    """Build the rows of the routes that are not tried, with the reasons."""
    rows: Rows = [("not asked", "model", "because")]
    return rows + [
        (excluded.route.backend, excluded.route.model, excluded.error.message) for excluded in result.rejected
    ]


def combine_rows(called: Rows, others: Rows) -> list[tuple[object, ...]]:
    """Combine both tables into one list of rows for programs."""
    rows: list[tuple[object, ...]] = [
        (int(place), backend, model, Decimal(max_cost.removeprefix("$")), price, notes, None)
        for place, backend, model, max_cost, price, notes in called[1:]
    ]
    return rows + [(None, backend, model, None, None, None, because) for backend, model, because in others[1:]]


def print_table(rows: Rows) -> None:
    """Print a table without cutting anything off; nothing without rows."""
    header, *lines = rows
    if not lines:
        return
    table = Table(box=None, pad_edge=False)
    for index, name in enumerate(header):
        add_column(table, name, [line[index] for line in lines], right=name == "at most")
    for line in lines:
        table.add_row(*(escape(text) for text in line))
    table.width = stdout.measure(table, options=stdout.options.update(width=TABLE_WIDTH)).maximum
    stdout.print(table)
