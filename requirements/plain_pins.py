"""Name each package that a lock pins with extras without them as well: `plain_pins.py LOCK`.

Why: a pip before 23.3 takes `sqlalchemy[asyncio]==2.1.9` and `sqlalchemy` for two packages. Where another package asks
for the plain one, it looks for the newest release, and refuses it because the lock has no hash for that.
"""

import re
import sys
from pathlib import Path

PIN = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9.-]*)\[[a-z0-9,_.-]+\](?P<rest>==[^\n]*\n(?: +--hash=[^\n]*\n)+)", re.MULTILINE
)


def with_plain_pins(lock: str) -> str:
    """Return the lock with a plain pin, and its hashes, before each pin that has extras."""
    return PIN.sub(lambda pin: f"{pin['name']}{pin['rest']}{pin[0]}", lock)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_plain_pins(path.read_text("utf-8")), "utf-8")
