"""Instructions for the install of an extra, for messages.

Rule: the gateway is on no package index. So a message names a checkout and the wheel, and never the bare name, which an
unknown package may have there.
"""

from service import __version__

WHEEL = f"image_gateway-{__version__}-py3-none-any.whl"


def install_hint(extra: str) -> str:
    """Return the command that installs an extra of pyproject.toml."""
    return (
        f"it needs the extra '{extra}': pip install '.[{extra}]' in the folder of the gateway's source, "
        f"or pip install '{WHEEL}[{extra}]' from its wheel"
    )
