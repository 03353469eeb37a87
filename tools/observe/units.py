"""Values as people read them, in Grafana's units. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence

DURATIONS: Sequence[tuple[float, str, float]] = (
    (86400, "d", 1),
    (3600, "h", 1),
    (60, "min", 1),
    (1, "s", 1),
    (0.001, "ms", 0),
)
SIZES: Sequence[tuple[float, str]] = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def plain(value: float, decimals: int | None = None) -> str:
    """As short as it can be: three figures, thousands apart."""
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def duration(value: float, decimals: int | None = None) -> str:
    """Seconds in the largest unit that fits."""
    del decimals
    if value == 0:
        return "0 s"
    size, name, places = next(((s, n, p) for s, n, p in DURATIONS if abs(value) >= s), DURATIONS[-1])
    return f"{value / size:.{places}f}".removesuffix(".0") + f" {name}"


def octets(value: float, decimals: int | None = None) -> str:
    """Bytes in the largest unit that fits."""
    size, name = next(((s, n) for s, n in SIZES if abs(value) >= s), (1, "B"))
    return f"{plain(value / size, decimals)} {name}"


FORMATS: Mapping[str, Callable[[float, int | None], str]] = {
    "currencyUSD": lambda value, decimals: f"${plain(value, decimals)}",
    "percentunit": lambda value, decimals: f"{plain(value * 100, decimals)} %",
    "reqps": lambda value, decimals: f"{plain(value, decimals)} req/s",
    "ops": lambda value, decimals: f"{plain(value, decimals)} /s",
    "s": duration,
    "bytes": octets,
    "none": plain,
}


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A value in its unit."""
    return FORMATS[unit](value, decimals)


def name_of(legend: str, labels: Mapping[str, str]) -> str:
    """A series' name: its labels put into the legend."""
    if legend == "__auto":
        return ", ".join(text for name, text in labels.items() if name != "__name__")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend).strip() or "(none)"
