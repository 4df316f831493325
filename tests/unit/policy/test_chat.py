"""Prompts with and without a chat template, and answers back to text."""

import pytest
from transformers import PreTrainedTokenizerFast

from paring.policy.chat import answer_text, prompt_tokens

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
