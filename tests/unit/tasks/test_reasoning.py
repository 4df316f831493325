"""Working and self-correction, by their documented markers and numbers."""

import time

import pytest

from paring.tasks.reasoning import LONGEST, corrects_itself, has_equation, reasoning_of


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ("a <answer>b</answer> c", "a "),
        ("a #### b <answer> c", "a "),
        ("a\n#### 5", "a\n"),
        ("a \\boxed{b} #### c", "a "),
        ("all of it", "all of it"),
        ("", ""),
        ("x" * LONGEST + "y", "x" * LONGEST),
        ("x" * LONGEST + "<answer>", "x" * LONGEST),
    ],
)
def test_what_stands_before_the_answer(text, reasoning):
    assert reasoning_of(text) == reasoning


def test_an_equation_counts_only_before_the_answer():
    assert has_equation("1 + 1 = 2 <answer> 2 </answer>")
    assert not has_equation("<answer> 1 + 1 = 2 </answer>")
    assert not has_equation("#### x = 2")


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 8. Wait, that is 7.",
        "WAIT <answer>7</answer>",
        "Hmm, no.",
        "Let me check this.",
        "I double-check it",
        "let me recompute",
        "That's wrong",
        "this does not work",
        "I made a mistake",
        "3+4=8;3+4=7",
        "3 + 4 = 8\n... 3 + 4 = 7 <answer>7</answer>",
        "3 * 4 = 11, 3 * 4 = 12",
    ],
)
def test_a_correction_is_seen(text):
    assert corrects_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3+4=7;7+5=12",
        "3+4=7 and again 3+4=7",
        "3+4=7;3-4=-1;4+3=8",
        "the waiter waited",
        "actuality",
        "<answer>wait</answer>",
        "3+4=8<answer>3+4=7</answer>",
        "13+4=17;3+4=7",
        "1.3+4=5.3;3+4=7",
    ],
)
def test_none_is_seen_where_none_is(text):
    assert not corrects_itself(text)


@pytest.mark.parametrize("text", ["wai" * 500_000, "1+1=" * 300_000, "9" * 1_000_000 + "+1=1", "h" + "m" * 1_000_000])
def test_hostile_text_costs_little(text):
    start = time.perf_counter()
    corrects_itself(text)
    assert time.perf_counter() - start < 2
