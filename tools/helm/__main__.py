"""`python -m tools.helm`: write the table of values in the chart's README, and `tests/recorded/helm`."""

from tools.helm.chart import SETS
from tools.helm.snapshots import FOLDER, snapshot
from tools.helm.table import README, readme


def main() -> None:
    README.write_text(readme())
    for name in SETS:
        (FOLDER / f"{name}.yaml").write_text(snapshot(name))


if __name__ == "__main__":
    main()
