"""How the bytes of an input become what a target takes."""

from collections.abc import Iterator


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """The same bytes, a piece at a time."""
    return (data[start : start + size] for start in range(0, len(data), size))


def texts(data: bytes) -> list[str]:
    """Lines, as headers have them: Latin-1, without control characters but the tab."""
    kept = "".join(each for each in data.decode("latin-1") if each in "\t\n" or ord(each) >= ord(" "))
    return kept.split("\n")
