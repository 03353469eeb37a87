"""The targets by name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tools.fuzz import others, requests, vendors

Target = Callable[[bytes], None]

TARGETS: Mapping[str, Target] = {
    "form": requests.form,
    "body": requests.body,
    "headers": requests.headers,
    "events": vendors.events,
    "openai": vendors.openai,
    "together": vendors.together,
    "picture": others.image,
    "address": others.address,
    "settings": others.settings,
}

CORPUS = Path(__file__).parent / "corpus"


def kept(name: str) -> list[Path]:
    """Return the stored inputs of a target."""
    return sorted(file for file in (CORPUS / name).iterdir() if file.is_file())
