"""`docs/dashboards.md`: each dashboard row by row, with its picture and what its panels say of themselves. Pure."""

from collections.abc import Iterator, Sequence

from tools.dashboards.panes import Board, Section, picture

HEAD = """# Dashboards

Made by `make dashboards` from `tools/dashboards/`, as are the files that Grafana imports: `config/grafana/*.json`, for
every Grafana since 9. They ask for a Prometheus that scrapes the gateways and has `config/prometheus/rules.yaml`
loaded; *Prometheus* on top chooses it. Blue marks are deploys, green ones reloads of settings, red ones settings that
were refused. What the alerts mean is in [operations.md](operations.md#alerts).

The pictures are what a real Prometheus answered (`make dashboard-pictures`): a scrape every second, for two minutes, of
two gateways in front of the vendors' simulators, with budgets that are gone in minutes. Meanwhile calls broke off, both
vendors failed, an account ran out of credit, settings were changed and refused, and a gateway was killed in mid-call.
`make observe` is the same to look at live.
"""


def page(boards: Sequence[Board]) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for board in boards for line in _board(board))])


def _board(board: Board) -> Iterator[str]:
    chosen = ", ".join(variable.name for variable in board.variables)
    yield f"## {board.title.removeprefix('Image gateway: ').capitalize()}\n"
    yield f"{board.says} To choose: {chosen}.\n"
    for section in board.sections:
        yield from _section(board.name, section)


def _section(board: str, section: Section) -> Iterator[str]:
    yield f"### {section.title}\n"
    yield f"![{section.title}](dashboards/{picture(board, section.title)})\n"
    yield from (f"- **{pane.title}**: {pane.says}" for pane in section.panes)
    yield ""
