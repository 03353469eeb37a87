"""`python -m tests.dashboards`: write `config/grafana/*.json`, and `docs/dashboards.md` about them."""

from collections.abc import Mapping
from pathlib import Path

from tests.dashboards.cost import COSTS
from tests.dashboards.grafana import document
from tests.dashboards.overview import OVERVIEW
from tests.dashboards.page import page
from tests.dashboards.team import TEAMS
from tests.dashboards.upstreams import UPSTREAMS

ROOT = Path(__file__).parents[2]
BOARDS = (OVERVIEW, COSTS, TEAMS, UPSTREAMS)


def files() -> Mapping[Path, str]:
    """What is written where."""
    made = {ROOT / "config" / "grafana" / f"{board.name}.json": document(board) for board in BOARDS}
    return made | {ROOT / "docs" / "dashboards.md": page(BOARDS)}


def main() -> None:
    """Write them all."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
