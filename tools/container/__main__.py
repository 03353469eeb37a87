"""`python -m tools.container [MIRROR]`: make the images that cannot be pulled here, from Debian's packages."""

import sys

from tools.container.standins import MIRROR, make_missing

if __name__ == "__main__":
    made = make_missing(*sys.argv[1:2] or [MIRROR])
    print("made:", ", ".join(made) or "nothing, all are there")
