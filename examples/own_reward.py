"""A reward of your own, as TRL's GRPOTrainer calls it, over rows that have a prompt.

paring train quickstart task.reward=examples/own_reward.py:right task.data=examples/rows.jsonl
paring reward-check examples/own_reward.py:right    # what does it get wrong?
"""


def right(completions: list[list[dict[str, str]]], answer: list[str], **columns: list) -> list[float]:
    """The reward of each completion. `answer` is a column of the rows; the other columns come in the same way.

    The prompts of these rows are lists of turns, so a completion is one too: the assistant's turn, alone."""
    texts = [turns[0]["content"] for turns in completions]
    return [reward(text, gold) for text, gold in zip(texts, answer, strict=True)]


def reward(text: str, gold: str) -> float:
    """1.0 for a right answer, 0.1 for a wrong one, 0.0 for none. Several answers are guesses, and count as none."""
    _, *answers = text.split("<answer>")
    if len(answers) != 1 or not text.endswith("</answer>"):
        return 0.0
    return 1.0 if answers[0].removesuffix("</answer>").strip() == gold else 0.1
