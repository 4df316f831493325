"""Prompts and conversations with and without a chat template, and answers back to text."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from paring.policy.chat import answer_text, conversation_tokens, prompt_tokens
from paring.policy.loading import EMBEDDED

MESSAGES = [{"role": "system", "content": "w1 w2"}, {"role": "user", "content": "w3"}]


@pytest.fixture
def templated(tokenizer):
    """A tokenizer with a template of its own: each message after a w10, and w11 where the model answers."""

    def make(template: str) -> PreTrainedTokenizerFast:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer, eos_token="w63", chat_template=template
        )

    return make


def test_without_a_template_the_contents_are_plain_paragraphs(tokenizer):
    assert prompt_tokens(tokenizer, MESSAGES) == (1, 2, 3)


def test_a_template_decides_and_the_model_answers_after_it(templated):
    template = "{% for m in messages %}w10 {{ m.content }} {% endfor %}{% if add_generation_prompt %}w11{% endif %}"
    assert prompt_tokens(templated(template), MESSAGES) == (10, 1, 2, 10, 3, 11)


@pytest.mark.parametrize("template", ["{{ raise_exception('System role not supported') }}", "{% if %}"])
def test_a_template_that_refuses_is_a_user_error(templated, template):
    with pytest.raises(ValueError, match="chat template refuses messages of the roles system, user"):
        prompt_tokens(templated(template), MESSAGES)


def test_special_tokens_are_not_part_of_an_answer(tokenizer):
    assert answer_text(tokenizer, [5, 6, 63]) == "w5 w6"


GENERATION = "{% if add_generation_prompt %}w11 {% endif %}"
TURNS = "{% for m in messages %}{{ {'user': 'w10', 'assistant': 'w11', 'system': 'w9'}[m.role] }} {{ m.content }} "
TWO_ANSWERS = [
    {"role": "system", "content": "w1"},
    {"role": "user", "content": "w2 w3"},
    {"role": "assistant", "content": "w4 w5"},
    {"role": "user", "content": "w6"},
    {"role": "assistant", "content": "w7"},
]


def learned(labelled):
    return [token for token, is_learned in zip(labelled.tokens, labelled.learned, strict=True) if is_learned]


def test_of_a_conversation_every_answer_is_learned_with_its_end(templated):
    template = TURNS + "w12 {% endfor %}" + GENERATION
    found = conversation_tokens(templated(template), TWO_ANSWERS)
    assert found.tokens == (9, 1, 12, 10, 2, 3, 12, 11, 4, 5, 12, 10, 6, 12, 11, 7, 12)
    assert [int(is_learned) for is_learned in found.learned] == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1]
    assert found.targets == [8, 9, 10, 15, 16]
    assert len(found.row) == 16


def test_of_the_embedded_model_the_answer_and_its_end_are_learned():
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    messages = [{"role": "user", "content": "1+2+3="}, {"role": "assistant", "content": "<answer>6</answer>"}]
    found = conversation_tokens(tokenizer, messages)
    assert tokenizer.decode(found.tokens) == "<|user|>1+2+3=<|assistant|><answer>6</answer><|end|>"
    assert tokenizer.decode(learned(found)) == "<answer>6</answer><|end|>"
    assert found.tokens[: found.targets[0]] == prompt_tokens(tokenizer, messages[:1])
    assert found.tokens[-1] == tokenizer.eos_token_id


def test_without_a_template_the_answer_follows_the_prompt_and_ends_the_sequence(tokenizer):
    found = conversation_tokens(tokenizer, [*MESSAGES, {"role": "assistant", "content": "w4 w5"}])
    assert (found.tokens, found.learned) == ((1, 2, 3, 4, 5, 63), (False, False, False, True, True, True))
    assert found.tokens[:3] == prompt_tokens(tokenizer, MESSAGES)
    with pytest.raises(ValueError, match="no chat template, so a conversation can have one answer only"):
        conversation_tokens(tokenizer, TWO_ANSWERS)


@pytest.mark.parametrize(
    ("template", "turn"),
    [
        # The number of turns stands first: every prompt changes once it is answered.
        ("w{{ messages | length }} " + TURNS + "{% endfor %}" + GENERATION, 2),
        # Answers but the last are cut, as templates do that drop earlier thoughts.
        (
            "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}{{ m.content }} {% endif %}{% endfor %}",
            4,
        ),
    ],
)
def test_a_template_that_changes_what_stood_before_is_refused(templated, template, turn):
    with pytest.raises(ValueError, match=rf"messages\[{turn}\]: the model's chat template is not prefix-stable"):
        conversation_tokens(templated(template), TWO_ANSWERS)


def test_a_template_without_answers_is_refused(templated):
    template = "{% for m in messages if m.role == 'user' %}{{ m.content }} {% endfor %}"
    with pytest.raises(ValueError, match=r"messages\[2\]: the model's chat template leaves the answer out"):
        conversation_tokens(templated(template), TWO_ANSWERS)
