"""Port of secrets that can be read again."""

from pathlib import Path
from typing import Protocol


class ReloadableSecret(Protocol):
    """A secret: the setting that gave it, and the file that holds it, if one does."""

    @property
    def name(self) -> str:
        """The setting."""
        ...

    @property
    def file(self) -> Path | None:
        """The file, if there is one."""
        ...

    def reload(self) -> bool | str:
        """Look at the file: does it hold another secret now, or why is what it holds refused?"""
        ...
