"""`python -m tools.dashboards`: write `config/grafana/*.json`, and `docs/dashboards.md` about them."""

from collections.abc import Mapping
from pathlib import Path

from tools.dashboards.cost import COSTS
from tools.dashboards.grafana import document
from tools.dashboards.overview import OVERVIEW
from tools.dashboards.page import page
from tools.dashboards.team import TEAMS
from tools.dashboards.upstreams import UPSTREAMS

ROOT = Path(__file__).parents[2]
DASHBOARDS = (OVERVIEW, COSTS, TEAMS, UPSTREAMS)


def files() -> Mapping[Path, str]:
    """Return the text of each generated file."""
    made = {ROOT / "config" / "grafana" / f"{dashboard.name}.json": document(dashboard) for dashboard in DASHBOARDS}
    return made | {ROOT / "docs" / "dashboards.md": page(DASHBOARDS)}


def main() -> None:
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
