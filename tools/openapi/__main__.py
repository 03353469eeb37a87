"""`python -m tools.openapi`: writes the replies of `service/api/examples.json` again. `make examples` is this."""

import tempfile
from pathlib import Path

import httpx2
import msgspec

from service.api.examples import FILE, exchanges
from service.api.finishing import finished
from service.commands.start import document
from tools.openapi.story import ROOT, Teller, house

SECONDS = 1.5  # after which the books have what was done


def main() -> None:
    """Ask a gateway."""
    described = finished(document(ROOT / "config", {}))
    with tempfile.TemporaryDirectory() as folder, house(Path(folder)) as gateway, httpx2.Client(timeout=60) as http:
        teller = Teller(http, gateway.url, described, SECONDS)
        told = {each.operation + each.name: each for each in teller.tell(exchanges())}
    story = [told[each.operation + each.name] for each in exchanges()]
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(story), indent=1) + b"\n")


if __name__ == "__main__":
    main()
