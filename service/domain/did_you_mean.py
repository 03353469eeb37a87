"""Suggestions for unknown names, for messages to operators. Pure; fails with nothing."""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_SUGGESTIONS = 2
MAX_LENGTH = 100  # difflib takes the square of the length


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'search'?`, or nothing where no known name is close."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    close = get_close_matches(name[:MAX_LENGTH].lower(), by_lower, MAX_SUGGESTIONS)
    return f" Did you mean {' or '.join(repr(by_lower[match]) for match in close)}?" if close else ""
