"""The supervised update: one gradient however it is cut, the guard, the held-out loss, what is learned."""

import math

import pytest
import torch
from transformers import AutoTokenizer

from paring.adapters.attach import parameters_by_name
from paring.policy.loading import EMBEDDED
from paring.policy.packing import Labelled
from paring.runtime.faults import Faults
from paring.settings.complaints import NotFinite
from paring.tasks.row_forms import Conversation
from paring.training.heldout import cut_examples, held_out_loss
from paring.training.optim import Adam, Optimiser
from paring.training.sft import fit
from paring.training.sft_setup import labelled

LENGTHS = [5, 17, 3, 30, 8, 8]


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(7)
    return [
        Labelled(
            torch.randint(64, (length,), generator=generator).tolist(), [place > length // 2 for place in range(length)]
        )
        for length in LENGTHS
    ]


def fitted(policy, examples, **changes):
    """One update with a gradient that is not clipped."""
    optimiser = Optimiser(parameters_by_name(policy.adapters), Adam(max_grad_norm=1e9))
    return fit(policy, optimiser, examples, **dict(lr=0.01, tokens_per_pass=10_000, seed=0) | changes)


def gradient(policy):
    return torch.cat([parameter.grad.flatten() for parameter in parameters_by_name(policy.adapters).values()])


def values(policy):
    return torch.cat([value.detach().flatten() for value in parameters_by_name(policy.adapters).values()])


def test_passes_hold_at_most_so_many_tokens_and_every_example_once(examples):
    for bound in (1, 10, 20, 33, 1000):
        parts = list(cut_examples(examples, bound))
        assert [example for part in parts for example in part] == examples
        assert all(len(part) == 1 or sum(len(example.row) for example in part) <= bound for part in parts)
    assert [len(part) for part in cut_examples(examples, 20)] == [2, 1, 1, 2]  # sizes 4 16 2 29 7 7


@pytest.mark.parametrize("tokens_per_pass", [1, 20, 40])
def test_the_cut_into_passes_changes_nothing(make_policy, examples, tokens_per_pass):
    whole, cut = make_policy(), make_policy()
    one, many = fitted(whole, examples), fitted(cut, examples, tokens_per_pass=tokens_per_pass)
    assert (one.tokens, one.applied) == (many.tokens, many.applied) == (2 + 8 + 1 + 14 + 3 + 3, 1)
    assert one.measures == pytest.approx(many.measures, rel=1e-5)
    torch.testing.assert_close(gradient(whole), gradient(cut), rtol=1e-4, atol=1e-6)


def test_the_loss_of_a_step_is_the_held_out_loss_of_its_examples(make_policy, examples):
    policy = make_policy()
    measured = held_out_loss(policy, examples, tokens_per_pass=20)
    assert fitted(policy, examples).measures["loss"] == pytest.approx(measured.loss, rel=1e-6)
    assert (measured.examples, measured.tokens) == (6, 31)
    assert measured.perplexity == math.exp(measured.loss)
    assert held_out_loss(policy, examples, tokens_per_pass=20).loss < measured.loss, "the step went down"


def test_dropout_is_a_function_of_the_seed_and_never_of_the_evaluation(make_policy, examples):
    losses = [fitted(make_policy(dropout=0.5), examples, seed=seed).measures["loss"] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    measured = [held_out_loss(make_policy(dropout=part), examples, tokens_per_pass=99).loss for part in (0.0, 0.5)]
    assert measured[0] == measured[1]


def test_a_loss_that_is_not_finite_moves_nothing(make_policy, examples):
    policy = make_policy()
    first = next(iter(policy.adapters.values()))
    first.B_OR.data[0, 0] = math.nan
    before = values(policy)
    update = fitted(policy, examples)
    assert (update.dropped, update.applied) == (True, 0)
    assert torch.equal(values(policy).nan_to_num(7), before.nan_to_num(7))
    with pytest.raises(NotFinite, match="the loss on held-out examples is not finite"):
        held_out_loss(policy, examples, tokens_per_pass=99)


def test_all_tokens_but_the_first_are_learned_if_asked():
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    messages = ({"role": "user", "content": "1+2="}, {"role": "assistant", "content": "3"})
    example = Conversation("a.jsonl:1", messages)
    faults = Faults("data.broken", "stop")
    [answers], [everything] = (labelled(example, tokenizer, part, (), faults) for part in ("completions", "all"))
    assert answers.tokens == everything.tokens
    assert tokenizer.decode([answers.tokens[place] for place in answers.targets]) == "3<|end|>"
    assert tokenizer.decode([everything.tokens[place] for place in everything.targets]) == "1+2=<|assistant|>3<|end|>"


def test_an_example_that_the_template_refuses_is_named(tokenizer):
    answer, faults = {"role": "assistant", "content": "w1"}, Faults("data.broken", "skip")
    example = Conversation("a.jsonl:17", ({"role": "user", "content": "w1"}, answer, answer))
    assert labelled(example, tokenizer, "completions", (), faults) == []
    [fault] = faults.found
    assert str(fault).startswith("a.jsonl:17: messages[2]: the model has no chat template")
