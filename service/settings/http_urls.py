"""What makes a setting an address over http or https.

Rule: the words show the address, unless it may hold a password.
"""

from urllib.parse import urlsplit


def url_problem(text: str) -> str | None:
    """What is wrong with an address of a vendor, a store or this gateway; None if nothing is."""
    if any(sign.isspace() or not sign.isprintable() for sign in text):  # `urlsplit` drops some of them in silence
        return "an address has no blanks and no control characters"
    if "@" in text:
        return "an address here must not hold a user name or password"
    try:
        address = urlsplit(text)
        usable = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:  # a bracket that is not closed, a port that is no number
        usable = False
    if not usable or "?" in text or "#" in text:
        return f"'{text}' is not an http or https address"
    return None
