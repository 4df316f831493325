"""A process that asks reasoning-gym's verifiers about answers; and the data sets, which it draws as the task does."""

import json
import math
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from paring.verifier.serving import killed_after, serve

if TYPE_CHECKING:
    from reasoning_gym.dataset import ProceduralDataset  # pyright: ignore[reportMissingImports] - an extra, as below


@lru_cache(maxsize=64)
def data_set(generator: str, options: str, difficulty: int | None, size: int, seed: int) -> "ProceduralDataset":
    """Raises ModuleNotFoundError without the extra, ValueError for an unknown generator or settings that it does not
    take."""
    try:
        from reasoning_gym import create_dataset  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]
        from reasoning_gym.factory import (  # pyright: ignore[reportMissingImports]
            CURRICULA,
            DATASETS,
            create_curriculum,
        )
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('task.name = "reasoning-gym" needs: pip install "paring[gym]"') from error
    if generator not in DATASETS:
        raise ValueError(f"generator {generator!r} is unknown to reasoning-gym; it has: {', '.join(sorted(DATASETS))}")
    chosen = json.loads(options)
    if difficulty is not None:
        if generator not in CURRICULA:
            raise ValueError(f"generator {generator!r} has no levels of difficulty: set its options instead")
        curriculum = create_curriculum(generator)
        for name, attribute in curriculum.attributes.items():
            curriculum.set_attr_level(name, min(difficulty, len(attribute.levels) - 1))
        chosen = vars(curriculum.generate_configuration()) | chosen
    try:
        return create_dataset(generator, **chosen | {"size": size, "seed": seed})
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"generator {generator!r} does not take {options}: {error}") from error


def prepare(seconds: float) -> Callable[[dict[str, str]], str]:
    """The answers of this process: the verifier's number, from 0 to 1, for a problem and the answer `given`."""

    def answer(question: dict[str, str]) -> str:
        drawn = data_set(**json.loads(question["source"]))
        with killed_after(seconds):
            try:
                value = float(drawn.score_answer(question["given"], drawn[int(question["number"])]))
            except Exception:  # a verifier that cannot read an answer: whatever it raises
                value = 0.0
        return str(min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0)

    return answer


if __name__ == "__main__":
    serve(partial(prepare, float(sys.argv[1])))
