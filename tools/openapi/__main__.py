"""`python -m tools.openapi` (`make examples`): writes the replies of `service/api/openapi/examples.json` again."""

import tempfile
from pathlib import Path

import httpx2
import msgspec

from service.api.openapi.build import build_document
from service.api.openapi.examples import FILE, load_exchanges
from service.commands.startup import build_openapi
from tools.openapi.story import ROOT, replies_within_a_day

SECONDS = 1.5  # until the ledger has every entry


def main() -> None:
    described = build_document(build_openapi(ROOT / "config", {}))
    with tempfile.TemporaryDirectory() as folder, httpx2.Client(timeout=60) as http:
        came, _ = replies_within_a_day(Path(folder), http, described, SECONDS)
        replies = {exchange.operation + exchange.name: exchange for exchange in came}
    exchanges = [replies[exchange.operation + exchange.name] for exchange in load_exchanges()]
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(exchanges), indent=1) + b"\n")


if __name__ == "__main__":
    main()
