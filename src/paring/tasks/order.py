"""The order in which tasks draw problems: by hash, so the same on every machine and for every order of the file."""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def digest(text: str, seed: int = 0) -> str:
    """16 hexadecimal digits that depend on nothing but the seed and the text: blake2b of `seed`, a newline, `text`."""
    return blake2b(f"{seed}\n{text}".encode(), digest_size=8).hexdigest()


def hash_order(items: Iterable[T], text_of: Callable[[T], str], seed: int = 0) -> list[T]:
    """The items by the digest of their text; its first n are a draw of n without replacement.

    Adding or removing an item leaves the order of the others as it is.
    """
    return sorted(items, key=lambda item: digest(text_of(item), seed))
