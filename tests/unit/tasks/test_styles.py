"""Prompt styles: the turns they make, where the answer stands, and which style a prompt was made in."""

from paring.tasks.format import follows_think_answer
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.styles import BOXED_PROMPT, STYLES, Boxed, Shot, ThinkAnswer, own_answer, prompt, style_of

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
