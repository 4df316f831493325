"""The answer formats, case by case."""

from time import perf_counter

import pytest

from paring.tasks.format import TAGS, THINK_ANSWER_PROMPT, follows_boxed, follows_think_answer

GOOD = "<think> 7 * 8 = 56 </think>\n<answer> 56 </answer>"


@pytest.mark.parametrize(
    "text",
    [GOOD, f"\n {GOOD} \n", "<think>a</think><answer>b</answer>", "<think>a<b>\ud800</think>\n\n<answer>1\n2</answer>"],
)
def test_follows(text):
    assert follows_think_answer(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "56",
        "<answer>56</answer>",
        "<think>a</think>",
        "<think>a</think> so <answer>56</answer>",
        f"Sure! {GOOD}",
        f"{GOOD} Done.",
        GOOD + GOOD,
        "<think>a</think><answer>5</answer><answer>6</answer>",
        "<think>a<answer>5</answer></think>",
        "<answer>5</answer><think>a</think>",
        "</think>a<think><answer>5</answer>",
        "<think>a</think></answer>5<answer>",
        "<think> </think><answer>5</answer>",
        "<think>a</think><answer>\n</answer>",
        "<think>a</think><answer>5",
        "<THINK>a</THINK><ANSWER>5</ANSWER>",
        "<think>a<think>b</think></think><answer>5</answer>",
    ],
)
def test_does_not_follow(text):
    assert not follows_think_answer(text)


def test_each_missing_tag_breaks_the_format():
    assert [follows_think_answer(GOOD.replace(tag, "")) for tag in TAGS] == [False] * 4


def test_the_prompt_shows_a_text_that_follows():
    assert follows_think_answer(THINK_ANSWER_PROMPT.split("like this:\n")[1])


def test_megabytes_take_linear_time():
    start = perf_counter()
    for text in ("<think>" * 300_000, f"<think>{' ' * 2_000_000}</think> <answer>5</answer>", GOOD + " " * 2_000_000):
        follows_think_answer(text)
    assert perf_counter() - start < 5  # seconds


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        (r"so \boxed{5}", True),
        (r"\boxed{\frac{1}{2}} and more", True),
        (r"\boxed {5}", True),
        (r"\boxed{5} \boxed{5}", False),
        (r"\boxed{\boxed{5}}", False),
        (r"\boxed{ }", False),
        (r"\boxed{5", False),
        (r"\boxed 5", False),
        ("5", False),
    ],
)
def test_exactly_one_box(text, follows):
    assert follows_boxed(text) is follows
