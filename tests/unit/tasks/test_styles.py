"""Prompt styles: the turns they make, the form they ask for, case by case, and which style a prompt was made in."""

from time import perf_counter

import pytest

from paring.tasks.gsm8k import Gsm8k
from paring.tasks.styles import (
    BOXED_PROMPT,
    STYLES,
    TAGS,
    THINK_ANSWER_PROMPT,
    Boxed,
    Shot,
    ThinkAnswer,
    follows_think_answer,
    own_answer,
    prompt,
    style_of,
)

TWO = (Shot("1 + 1?", "One more than 1.", "2"), Shot("2 + 3?", "Count on.", "5"))


def contents(messages):
    return [(message["role"], message["content"]) for message in messages]


def test_a_question_alone():
    assert contents(prompt(Boxed(), "3 + 4?")) == [("system", BOXED_PROMPT), ("user", "3 + 4?")]


def test_with_examples_every_question_is_marked():
    assert contents(prompt(Boxed(), "3 + 4?", TWO)) == [
        ("system", BOXED_PROMPT),
        ("user", "Question: 1 + 1?"),
        ("assistant", "One more than 1. The answer is \\boxed{2}."),
        ("user", "Question: 2 + 3?"),
        ("assistant", "Count on. The answer is \\boxed{5}."),
        ("user", "Question: 3 + 4?"),
    ]


def test_examples_are_written_in_the_style():
    written = ThinkAnswer().written("Count on.", "5")
    assert follows_think_answer(written) and "<answer> 5 </answer>" in written


def test_what_a_base_model_asks_itself_next_is_not_its_answer():
    text = "7, \\boxed{7}\n\nQuestion: 1 + 1?\n\n\\boxed{2}"
    assert own_answer(text) == "7, \\boxed{7}"
    assert own_answer("7, \\boxed{7}") == "7, \\boxed{7}"


def test_the_style_of_a_prompt_is_known_by_its_system_turn(tmp_path):
    for style in STYLES.values():
        assert style_of(prompt(style, "3 + 4?")) == style
    assert style_of(({"role": "user", "content": BOXED_PROMPT},)) is None
    (tmp_path / "train.jsonl").write_text('{"question": "3 + 4?", "answer": "#### 7"}\n')
    for name, style in STYLES.items():
        trained = Gsm8k(data=str(tmp_path), train_problems=1, style=name).problems("train")[0]
        assert style_of(trained.messages) == style


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
    assert Boxed().followed_by(text) is follows
