"""Conversion of the bytes of an input to the arguments of a target."""

from collections.abc import Iterator


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Yield the bytes in pieces of `size`."""
    return (data[start : start + size] for start in range(0, len(data), size))


def texts(data: bytes) -> list[str]:
    """Return lines like those of headers: Latin-1, without control characters but the tab."""
    text = "".join(char for char in data.decode("latin-1") if char in "\t\n" or ord(char) >= ord(" "))
    return text.split("\n")
