"""`python -m tools.observe`: gateways under a bounded load, a real Prometheus that scrapes them, and their addresses.

Rule: everything listens on loopback. It ends with Ctrl-C, with SIGTERM, or when its time is over.
"""

import argparse
import asyncio
import functools
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tools.observe.load import Load, ever
from tools.observe.panels import dashboards
from tools.observe.prometheus import MissingTool, Prometheus
from tools.observe.site import Site, site

EXAMPLES = (
    "sum by (outcome) (rate(gateway_requests_total[1m]))",
    "sum by (team) (rate(gateway_cost_usd_total[1m])) * 3600",
    "team_window_scope:gateway_budget_used:ratio",
    'ALERTS{alertstate=~"pending|firing"}',
)


def say(text: str = "") -> None:
    """Print a line and flush it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_addresses(place: Site, prometheus: Prometheus, seconds: float) -> None:
    """Print the addresses."""
    say(f"Prometheus   {prometheus.url}/graph   alerts: {prometheus.url}/alerts")
    for metrics, replica in place.replicas.items():
        say(f"Gateway      {replica.url}   metrics: http://{metrics}/metrics")
    say("Keys         igw_search, igw_ads, igw_mobile, igw_studio, igw_labs (one for each team)")
    say("\nAsk Prometheus, for example:")
    for expr in EXAMPLES:
        say(f"  {expr}")
    say("\nDashboards are in config/grafana/. In a Grafana: Connections, Data sources, Prometheus with the address")
    say(f"above; then Dashboards, New, Import, one after another: {', '.join(sorted(dashboards()))}.")
    if shutil.which("grafana-server") is None:
        say("grafana-server is not installed here; any Grafana since 9 that reaches this machine does.")
    say(f"\nThe load goes on for {seconds:.0f} s, with troubles every now and then. Stop with Ctrl-C.")


async def _load(place: Site, load: Load, ready: Callable[[], None]) -> None:
    """Run the load until its time is over or a signal arrives. After `ready` is called, a signal ends it in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, load.stop)
    ready()
    await load.run(functools.partial(ever, place=place))


def observe(seconds: float, callers: int, port: int) -> None:
    """Run the site, Prometheus and the load for `seconds`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="observe-")))
        place = stack.enter_context(site(folder / "site"))
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", list(place.replicas), port=port))
        load = Load(place, seconds, callers)
        asyncio.run(_load(place, load, lambda: print_addresses(place, prometheus, seconds)))
        counted = ", ".join(f"{status}: {count}" for status, count in sorted(load.answers.items()))
        say(f"\nAnswers by status (0: none, a replica was gone): {counted}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.observe")
    parser.add_argument("--seconds", type=float, default=600, help="how long the load lasts")
    parser.add_argument("--callers", type=int, default=6, help="how many ask at once")
    parser.add_argument("--port", type=int, default=0, help="Prometheus' port; 0 takes a free one")
    options = parser.parse_args()
    try:
        observe(options.seconds, options.callers, options.port)
    except KeyboardInterrupt:  # while it was starting
        sys.exit(128 + signal.SIGINT)
    except MissingTool as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
