"""`python -m tests.dashboards`: write `config/grafana/*.json`."""

from pathlib import Path

from tests.dashboards.cost import COSTS
from tests.dashboards.grafana import document
from tests.dashboards.overview import OVERVIEW
from tests.dashboards.team import TEAMS
from tests.dashboards.upstreams import UPSTREAMS

GRAFANA = Path(__file__).parents[2] / "config" / "grafana"
BOARDS = (OVERVIEW, COSTS, TEAMS, UPSTREAMS)


def main() -> None:
    """Write them all."""
    for board in BOARDS:
        (GRAFANA / f"{board.name}.json").write_text(document(board))


if __name__ == "__main__":
    main()
