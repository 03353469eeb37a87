"""A text that may change while the gateway runs: an address with its password, a vendor's key.

Rule: a caller reads the text at each use and stores no part of it. A text that never changes is a plain string.

Fails with: the errors of the function that reads the text.
"""

from collections.abc import Callable
from typing import TypeAlias

DynamicText: TypeAlias = str | Callable[[], str]


def current_text(text: DynamicText) -> str:
    """Return the text of this moment."""
    return text if isinstance(text, str) else text()
