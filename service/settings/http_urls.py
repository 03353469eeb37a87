"""Check of http and https addresses in settings.

Rule: a message shows the address, unless the address may hold a password.
"""

from urllib.parse import urlsplit


def url_problem(text: str) -> str | None:
    """Return the mistake in an address of a vendor, a store or this gateway, or None."""
    if any(sign.isspace() or not sign.isprintable() for sign in text):  # `urlsplit` drops some of them silently
        return "an address has no blanks and no control characters"
    if "@" in text:
        return "an address here must not hold a user name or password"
    try:
        address = urlsplit(text)
        usable = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:  # an open bracket, or a port that is no number
        usable = False
    if not usable or "?" in text or "#" in text:
        return f"'{text}' is not an http or https address"
    return None
