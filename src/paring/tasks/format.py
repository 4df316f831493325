"""The answer formats: thoughts in one pair of tags, then the answer in another, as R1-like training has them; a box."""

from paring.verifier.extraction import last_box

TAGS = ("<think>", "</think>", "<answer>", "</answer>")

THINK_ANSWER_PROMPT = (
    "Solve the problem step by step. Write your working between <think> and </think>, and after it only the final "
    "answer between <answer> and </answer>, like this:\n"
    "<think> the working </think>\n"
    "<answer> the final answer </answer>"
)


def follows_think_answer(text: str) -> bool:
    """Whether the whole text is `<think> working </think> <answer> answer </answer>`.

    Each of the four tags stands exactly once, in small letters and in this order; working and answer are not blank;
    before, between and after the two pairs there is nothing but white space. What the tags hold is not judged.
    """
    if any(text.count(tag) != 1 for tag in TAGS):
        return False
    before, _, rest = text.partition("<think>")
    working, _, rest = rest.partition("</think>")
    between, _, rest = rest.partition("<answer>")
    answer, _, after = rest.partition("</answer>")
    outside = (before, between, after)
    return bool(working.strip() and answer.strip()) and not any(part.strip() for part in outside)


def follows_boxed(text: str) -> bool:
    """Whether there is exactly one `\\boxed`, it is complete, and what it holds is not blank. The rest is free."""
    return text.count("\\boxed") == 1 and bool(last_box(text))
