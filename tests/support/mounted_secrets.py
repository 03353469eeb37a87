"""Secrets as kubelet mounts them: each file is a link through `..data`, which is swapped for all of them at once."""

import itertools
from pathlib import Path


class Mount:
    """A mounted secret in an empty folder, with a text for each file."""

    def __init__(self, folder: Path, **files: str) -> None:
        self._folder = folder
        self._files: dict[str, str] = {}
        self._numbers = itertools.count()
        folder.mkdir(parents=True, exist_ok=True)
        self.swap(**files)

    def __truediv__(self, name: str) -> Path:
        return self._folder / name

    def swap(self, **files: str) -> None:
        """Change the secret. Files that are not named stay as they were."""
        self._files |= files
        version = self._folder / f"..version-{next(self._numbers)}"
        version.mkdir()
        for name, text in self._files.items():
            (version / name).write_text(text)
            link = self._folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        (self._folder / "..data_tmp").symlink_to(version.name)
        (self._folder / "..data_tmp").replace(self._folder / "..data")
