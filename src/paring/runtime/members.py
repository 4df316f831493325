"""Rows in a compressed file: a gzip member for each write, so that a torn end is known, and to rewind is to cut."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

GZIP = 16 + zlib.MAX_WBITS
LARGEST = 1 << 28
"""Bytes of a member's content that are read, at most: a small file may claim any size."""
BLOCK = 1 << 16


def packed(content: bytes) -> bytes:
    """A member. Its bytes do not depend on the clock."""
    press = zlib.compressobj(wbits=GZIP)
    return press.compress(content) + press.flush()


def members(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The content of each whole member from the file's position on, and the offset of its end. A last one that is torn
    is left out. Raises ValueError where the file is damaged, or a member too large."""
    rest = b""
    while rest or (rest := file.read(BLOCK)):
        unpack, content = zlib.decompressobj(wbits=GZIP), bytearray()
        try:
            while not unpack.eof:
                content += unpack.decompress(rest, LARGEST + 1 - len(content))
                if len(content) > LARGEST:
                    raise ValueError(f"its content is larger than {LARGEST:,} bytes")
                rest = unpack.unused_data or unpack.unconsumed_tail or b""
                if not unpack.eof and not rest and not (rest := file.read(BLOCK)):
                    return
        except zlib.error as error:
            raise ValueError(f"it cannot be unpacked: {error}") from error
        yield bytes(content), file.tell() - len(rest)
