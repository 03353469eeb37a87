"""Tags: under which names a caller wants its cost to be found later, in the header `x-gateway-tags`.

Rule: `project=search,env=prod`; only keys that the operator allows, so that nobody fills the ledger with words. A wrong
header is an `InvalidValue`.
"""

import re
from collections.abc import Collection, Mapping

from service.domain.errors import InvalidValue

TAGS_HEADER = "x-gateway-tags"
TAG_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,63}")


def read_tags(header: str | None, allowed: Collection[str]) -> Mapping[str, str]:
    """The tags of a request."""
    tags: dict[str, str] = {}
    for part in (header or "").split(","):
        if not part.strip():
            continue
        name, _, value = (pair.strip() for pair in part.partition("="))
        if name not in allowed:
            names = ", ".join(sorted(allowed)) or "none"
            raise InvalidValue(f"Tag '{name[:40]}' is not known here; allowed are {names}.", param=TAGS_HEADER)
        if not TAG_VALUE.fullmatch(value):
            raise InvalidValue(
                f"Tag '{name}' needs a value of 1 to 64 letters, digits and . _ / : @ -", param=TAGS_HEADER
            )
        if name in tags:
            raise InvalidValue(f"Tag '{name}' is given twice.", param=TAGS_HEADER)
        tags[name] = value
    return tags
