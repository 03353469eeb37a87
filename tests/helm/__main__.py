"""`python -m tests.helm`: write the table of values in the chart's README, and `snapshots/`."""

from tests.helm.chart import SETS
from tests.helm.snapshots import FOLDER, snapshot
from tests.helm.table import README, readme


def main() -> None:
    """Write them all."""
    README.write_text(readme())
    for name in SETS:
        (FOLDER / f"{name}.yaml").write_text(snapshot(name))


if __name__ == "__main__":
    main()
