"""`docs/dashboards.md`: each dashboard row by row, with the descriptions of its panels. Pure."""

from collections.abc import Iterator, Sequence

from tools.dashboards.panes import Dashboard, Section

HEAD = """# Dashboards

Made by `make dashboards` from `tools/dashboards/`, as are the files that Grafana imports: `config/grafana/*.json`, for
every Grafana since 9. They ask for a Prometheus that scrapes the gateways and has `config/prometheus/rules.yaml`
loaded; *Prometheus* on top chooses it. Blue marks are deploys, green ones reloads of settings, red ones settings that
were refused. What the alerts mean is in [operations.md](operations.md#alerts).

`make observe` fills them: a real Prometheus scrapes two gateways in front of the vendors' simulators every second.
Budgets are gone in minutes. Calls break off, both vendors fail, an account runs out of credit, settings are changed and
refused, and a gateway is killed in mid-call.
"""


def page(dashboards: Sequence[Dashboard]) -> str:
    return "\n".join([HEAD, *(line for dashboard in dashboards for line in _sections(dashboard))])


def _sections(dashboard: Dashboard) -> Iterator[str]:
    chosen = ", ".join(variable.name for variable in dashboard.variables)
    yield f"## {dashboard.title.removeprefix('Image gateway: ').capitalize()}\n"
    yield f"{dashboard.says} To choose: {chosen}.\n"
    for section in dashboard.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield f"### {section.title}\n"
    yield from (f"- **{pane.title}**: {pane.says}" for pane in section.panes)
    yield ""
