"""How an extra is installed, for messages.

Rule: the gateway is on no package index, so a message names a checkout and the wheel, and never the bare name, which
could be anybody's there.
"""

from service import __version__

WHEEL = f"image_gateway-{__version__}-py3-none-any.whl"


def install_hint(extra: str) -> str:
    """Return how an extra of pyproject.toml gets there."""
    return (
        f"it needs the extra '{extra}': pip install '.[{extra}]' in the folder of the gateway's source, "
        f"or pip install '{WHEEL}[{extra}]' from its wheel"
    )
