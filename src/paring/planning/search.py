"""The largest number that fits, where more never takes less."""

from collections.abc import Callable


def largest(fits: Callable[[int], bool], limit: int) -> int:
    """The greatest n in 1 ... `limit` of which `fits` is true, 0 if there is none."""
    fitting, failing = 0, 1
    while failing <= limit and fits(failing):
        fitting, failing = failing, 2 * failing
    failing = min(failing, limit + 1)
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        fitting, failing = (middle, failing) if fits(middle) else (fitting, middle)
    return fitting
