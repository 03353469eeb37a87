"""Small bodies that decompress to 500 MB: more than any test lets a gateway grow by.

Rule: they are valid to the last byte, and made of a repeated block, because compressing 500 MB takes seconds.
"""

import gzip
import zlib

PIECE, PIECES = 10_000_000, 50
ZEROS = bytes(PIECE)
ADLER_MODULUS = 65_521


def gzipped() -> bytes:
    """Return a gzip file. A file of several members is valid."""
    return gzip.compress(ZEROS) * PIECES


def deflated() -> bytes:
    """Return a zlib stream. A full flush ends each block, so later data refers to nothing before it."""
    packer = zlib.compressobj()
    first, other = (packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    last, checksum = b"\x03\x00", PIECE * PIECES % ADLER_MODULUS << 16 | 1
    return first + other * (PIECES - 1) + last + checksum.to_bytes(4, "big")
