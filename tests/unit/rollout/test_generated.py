"""Sampling by transformers' own generate: its greedy answers, log-probs of the training pass, no trace of the batch."""

import pytest
import torch
from transformers import GenerationConfig

from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine, check_decodes
from paring.types import Key, Problem

PROMPTS = {"long": "w5 w6 w7 w9 w11 w13 w2", "one": "w3", "middle": "w9 w3 w17"}


@pytest.fixture
def problems():
    return [Problem(name, ({"role": "user", "content": text},), "") for name, text in PROMPTS.items()]


@pytest.fixture
def policy(unpacked_model, spoken, with_adapters):
    model, targets = unpacked_model
    model.generation_config.eos_token_id = [63, *range(40, 46)]  # some rows end early
    made = check_decodes(Policy(model, spoken, with_adapters(model, targets=targets)))
    assert made.unpacked is not None
    return made


@pytest.fixture(scope="module")
def spoken(tokenizer):
    """The tokenizer with a template that says the prompt and no more."""
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    yield tokenizer
    tokenizer.chat_template = None


def test_rollout_and_training_agree_and_rows_do_not_show(policy, problems):
    key, sampling = Key(0, 1), Sampling(max_new_tokens=10)
    groups = LocalEngine(policy).sample(problems, 4, sampling, key)
    batch = packed(groups, policy.device)
    expected_BT = policy.log_probs(batch, temperature=1.0)
    drawn = [one for group in groups for one in group.completions]
    for row_T, one in zip(expected_BT, drawn, strict=True):
        torch.testing.assert_close(torch.tensor(one.logprobs), row_T[: len(one.tokens)], rtol=0, atol=1e-4)
    lengths = {len(one.tokens) for one in drawn}
    assert len(lengths) > 1 and all((one.tokens[-1] in policy.ends) == one.ended for one in drawn)
    alone = [LocalEngine(policy, rows=3).sample([problem], 4, sampling, key)[0] for problem in problems]
    assert [one.tokens for group in alone for one in group.completions] == [one.tokens for one in drawn]


def test_greedy_is_what_generate_gives(policy, problems):
    """Whatever generation settings the checkpoint comes with."""
    own = policy.model.generation_config
    groups = LocalEngine(policy).sample(problems, 1, Sampling(max_new_tokens=8, temperature=0.0), Key(0, 1))
    policy.model.generation_config = GenerationConfig(
        eos_token_id=own.eos_token_id, repetition_penalty=3.0, do_sample=True, temperature=0.1, min_new_tokens=5
    )
    again = LocalEngine(policy).sample(problems, 1, Sampling(max_new_tokens=8, temperature=0.0), Key(0, 1))
    assert groups == again
    policy.model.generation_config = own
    for group in groups:
        prompt = torch.tensor([group.prompt])
        expected = policy.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False, pad_token_id=0
        )
        assert group.completions[0].tokens == tuple(expected[0, len(group.prompt) :].tolist())
