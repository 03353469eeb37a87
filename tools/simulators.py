"""A vendor's simulator as a process: `python -m tools.simulators openai --port 9101`.

Rule: it serves until SIGINT or SIGTERM, remembers nothing, and says on standard output where it listens.
"""

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence

from tests.simulators import openai, together
from tests.simulators.server import Defaults, Respond, Simulator

VENDORS: Mapping[str, Respond] = {"openai": openai.respond, "together": together.respond}


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.simulators", description="A vendor on loopback.")
    parser.add_argument("vendor", choices=sorted(VENDORS))
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--image-bytes", type=int, default=0, help="minimum size of the raw image in a reply")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer to an image call")
    return parser.parse_args(arguments)


def main() -> None:
    """Serve until told to stop."""
    options = parsed()
    defaults = Defaults(image_bytes=options.image_bytes, delay=options.delay)
    simulator = Simulator(VENDORS[options.vendor], defaults=defaults, port=options.port, remember=0)
    sys.stdout.write(f"{options.vendor} listens on {simulator.base_url}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        simulator.run()


if __name__ == "__main__":
    main()
