"""Claim: `paring plan` foretells the peak memory of an RL step within 15 %, at three shapes.

Each shape is a process of its own (side_ours.py). Its peak resident memory after its steps is what is planned."""

from statistics import mean
from typing import Any

from measuring import options, report
from sides import OURS, SEED, Side, Work

SHAPES = ((2, 4, 32, 8, 2048), (4, 8, 64, 16, 2048), (2, 8, 128, 16, 512))
"""Problems, completions of each, new tokens, rank, tokens of a pass."""
CLOSE = 0.15


def main() -> None:
    arguments = options(__doc__, "model", "data", at_least=1.0, steps=6).parse_args()
    points = []
    for problems, group, new_tokens, rank, tokens_per_pass in SHAPES:
        sizes = {"problems": problems, "group": group, "new_tokens": new_tokens, "rank": rank}
        rest = {"kl": 0.005, "without_signal": 0.0, "peer_passes": 1, "steps": arguments.steps}
        work = Work(arguments.model, arguments.data, **sizes, **rest, tokens_per_pass=tokens_per_pass)
        with Side(OURS, work) as side:
            peaks = [side.step()["peak_gb"] for _ in range(work.steps)]
        points.append(compared(work, peaks))
        print(points[-1], flush=True)
    largest = max(abs(point["error"]) for point in points)
    report(arguments, "peak memory: 15 % / the plan's largest error at three shapes", CLOSE / largest, points=points)


def compared(work: Work, peaks: list[float]) -> dict[str, Any]:
    """What was measured after each step, and what the plan says; its error is of the last."""
    # Late, as in measuring.py: who starts the sides must stay small.
    from paring.planning.job import Rollouts
    from paring.planning.plan import plan
    from side_ours import run_of

    planned = plan(run_of(work), prompt=longest_prompts(work))
    assert isinstance(planned.job.work, Rollouts)
    expected = planned.own.peak / 1e9
    return {
        "shape": [work.problems, work.group, work.new_tokens, work.rank, work.tokens_per_pass],
        "prompt": planned.job.work.prompt,
        "peak_gb_after_each_step": peaks,
        "plan_gb": expected,
        "error": expected / peaks[-1] - 1,
    }


def longest_prompts(work: Work) -> int:
    """Tokens of a prompt, on the average of the step that has the longest."""
    from transformers import AutoTokenizer

    from paring.policy.chat import prompt_tokens
    from questions import steps_of_questions

    _, order = steps_of_questions(work.data, work.problems, work.steps, seed=SEED, without_signal=0.0)
    tokenizer = AutoTokenizer.from_pretrained(work.model)
    lengths = [len(prompt_tokens(tokenizer, problem.messages)) for problem in order]
    steps = range(0, len(lengths), work.problems)
    return round(max(mean(lengths[start : start + work.problems]) for start in steps))


if __name__ == "__main__":
    main()
