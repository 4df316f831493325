"""Numbers as people read them."""

from paring.runtime.text import p_words


def test_p_values_are_as_precise_as_they_need_to_be():
    assert [p_words(p) for p in (0.0, 0.00099, 0.0012, 0.0499, 0.1, 1.0)] == [
        "p < 0.001",
        "p < 0.001",
        "p = 0.001",
        "p = 0.050",
        "p = 0.10",
        "p = 1.00",
    ]
