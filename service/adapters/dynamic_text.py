"""A text that may become another one while the gateway runs: an address with its password, a vendor's key.

Rule: who connects or calls asks for it each time and keeps nothing of it; a text that stays is given as itself.
"""

from collections.abc import Callable
from typing import TypeAlias

DynamicText: TypeAlias = str | Callable[[], str]


def current_text(text: DynamicText) -> str:
    """What it is just now."""
    return text if isinstance(text, str) else text()
