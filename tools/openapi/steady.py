"""The rule by which replies that differ each time become examples that do not.

Ids, secrets and signatures are counted: the first of a kind becomes `...0001`. The real value is remembered, so that a
request which names one can be sent. Moments near now become one moment, seconds that pass become one number, base64 is
cut short. Lines of a stream that only say that it waits are left out. All else stays.
"""

import re
from collections.abc import Callable, Mapping

MOMENT, UNIX = "2026-11-21T12:00:00Z", 1795262400
NOTHING_YET = ": nothing yet\n\n"
BASE64_SHOWN = 32
FAR = "2099"  # the year of moments that an example has on purpose

COUNTED: Mapping[str, str] = {
    r"img_[0-9a-f]{8}[pjwgsx](?P<part>[0-9a-f]{32})": "{:032d}",
    r"file-[0-9a-f]{8}[pjwgsx](?P<part>[0-9a-f]{32})(?:-[0-9]{4,7})?": "{:032d}",
    r"key_(?P<part>[0-9a-f]{16})\b": "{:016d}",
    r"igw_(?P<part>[A-Za-z0-9_-]{43})": "{:043d}",
    r"\bexpires=(?P<part>\d{10})\b": str(UNIX),
    r"signature=(?P<part>[A-Za-z0-9_-]{20,})": "{:032d}",
}
"""Form of the counted part of each pattern."""

REWRITTEN: tuple[tuple[str, str], ...] = (
    (r"req_[0-9a-f]{32}", f"req_{42:032d}"),
    (r"(?<![0-9a-z_-])[0-9a-f]{32}(?=,req_)", f"{7:032d}"),  # the hold of an entry
    (rf"20[2-8]\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z(?<!{FAR})", MOMENT),
    (r'("created":)\d+(?=,"id":"req_)', rf"\g<1>{UNIX}"),
    (r'("(?:created_at|expires_at)":)\d+', rf"\g<1>{UNIX}"),
    (r'("(?:since|seconds)":)\d+\.\d+', r"\g<1>0.0"),
    (rf'("b64_json":"[A-Za-z0-9+/]{{{BASE64_SHOWN}}})[A-Za-z0-9+/=]*', r"\g<1>"),
    (r'("results":\d+,"bytes":)\d+', r"\g<1>524288"),
    (r"(;t=)\d+", r"\g<1>1"),
    (r"^\d+s$", "1s"),
    (r"try again in \d+ seconds", "try again in 60 seconds"),
    (NOTHING_YET, ""),
)
PASSING = frozenset({"age", "retry-after"})
"""Headers whose value is a number of seconds."""


class Steady:
    """Real values, by their form in examples."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return a gateway's text in the form of an example."""
        for pattern, form in COUNTED.items():
            text = re.sub(pattern, self._count(pattern, form), text)
        for pattern, becomes in REWRITTEN:
            text = re.sub(pattern, becomes, text)
        return text

    def header(self, name: str, text: str) -> str:
        """Return a gateway's header in the form of an example."""
        return "1" if name in PASSING else self.text(text)

    def meant(self, shown: str) -> str:
        """Return a text of an example with the gateway's real values."""
        for real, example in self._shown.items():
            shown = shown.replace(example, real)
        return shown

    def _count(self, pattern: str, form: str) -> Callable[[re.Match[str]], str]:
        def counted(match: re.Match[str]) -> str:
            whole = match[0]
            if whole in self._shown.values():
                return whole
            if whole not in self._shown:
                number = 1 + sum(bool(re.fullmatch(pattern, real)) for real in self._shown)
                start, end = match.span("part")
                begin = match.start()
                self._shown[whole] = whole[: start - begin] + form.format(number) + whole[end - begin :]
            return self._shown[whole]

        return counted
