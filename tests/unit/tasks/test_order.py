"""The hash order of problems."""

from random import Random

from paring.tasks.order import digest, hash_order


def test_digest_is_blake2b_of_64_bits():
    """Expected values: printf '0\\nabc' | b2sum -l 64, and with 3 for the seed."""
    assert digest("abc") == "a60350cf1aa8420a"
    assert digest("abc", seed=3) == "812d7a0c08cf7dc1"


def test_the_order_depends_on_the_texts_and_the_seed_alone():
    words = [f"word {number}" for number in range(100)]
    ordered = hash_order(words, str)
    assert sorted(ordered) == sorted(words)
    assert hash_order(Random(0).sample(words, 100), str) == ordered
    assert hash_order(words, str, seed=1) != ordered
    assert hash_order(words[:-1], str) == [word for word in ordered if word != words[-1]]
