"""Conversations with environments: which tokens are learned, how they end, what overflows, what environments may do."""

from dataclasses import replace

import pytest
import torch

from paring.adapters.attach import attach, parameters_by_name
from paring.adapters.kinds import Lora
from paring.policy.chat import reply_tokens
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.policy.packing import Shared, pack, packed
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.rollout.served.connecting import connect
from paring.rollout.served.published import Shelf
from paring.rollout.served.reference_server import Listening, Reference
from paring.rollout.teacher import Teacher
from paring.tasks.base import judged
from paring.tasks.higher_lower import HigherLower
from paring.training.shares import plain_answered, read_answered
from paring.types import Environment, Key, Problem, Reply, Score

KEY, SAMPLING = Key(0, 1), Sampling(max_new_tokens=16)
TURN = Score({"turn": 0.5}, False)


@pytest.fixture(scope="module")
def policy():
    base, tokenizer = load_base(Model())
    adapters = attach(base, Lora(), seed=0)
    generator = torch.Generator().manual_seed(0)
    for adapter in adapters.values():
        adapter.B_OR.data.normal_(std=0.02, generator=generator)
    return Policy(base, tokenizer, adapters)


def talk(reply, *, answers=8, asked="17+11+4="):
    """A problem whose environment replies as this function of the number of answers and the last of them."""

    def numbered(turns):
        return reply(sum(turn["role"] == "assistant" for turn in turns), turns[-1]["content"])

    return Problem(asked, ({"role": "user", "content": asked},), "", environment=Environment(numbered, answers))


def thrice(number, _):
    return Reply("8+1-2=" if number < 3 else None, TURN)


def sample(policy, *problems, group_size=3, sampling=SAMPLING, **engine):
    return LocalEngine(policy, **engine).sample(problems, group_size, sampling, KEY)


def as_single_answers(group):
    """Each answer of a conversation by itself, after all that stood before it."""
    shared = []
    for one in group.completions:
        starts = [0, *(to for _, to in one.given)]
        ends = [*(start for start, _ in one.given), len(one.tokens)]
        shared += [
            Shared([*group.prompt, *one.tokens[:start]], [one.tokens[start:end]])
            for start, end in zip(starts, ends, strict=True)
        ]
    return shared


def test_a_conversation_is_what_was_sampled_with_the_replies_in_between(policy):
    [group] = sample(policy, talk(thrice))
    reply = policy.tokenizer("<|user|>8+1-2=<|assistant|>").input_ids
    for one in group.completions:
        assert one.ended and len(one.scores) == 3 and len(one.given) == 2
        assert [list(one.tokens[start:to]) for start, to in one.given] == [reply] * 2
        assert one.drawn == len(one.logprobs) == len(one.tokens) - 2 * len(reply)
        assert one.text.count("\n[user] 8+1-2=\n") == 2
    assert len({one.tokens for one in group.completions}) > 1, "the noise of each member is its own"
    assert judged(HigherLower(), [group])[0][0] == replace(TURN, parts={"turn": 1.5})


def test_log_probs_are_those_of_the_model_s_tokens_alone(policy):
    groups = sample(policy, talk(thrice), talk(lambda *_: Reply(), asked="9+9-1="))
    batch = packed(groups, policy.device)
    completions = [one for group in groups for one in group.completions]
    assert batch.mask_BT.sum(-1).tolist() == [one.drawn for one in completions]
    logp_BT = policy.log_probs(batch, temperature=1.0)
    for one, row_T in zip(completions, logp_BT, strict=True):
        torch.testing.assert_close(row_T[: one.drawn], torch.tensor(one.logprobs), atol=2e-4, rtol=0)


def test_the_gradient_is_that_of_every_answer_by_itself(policy):
    """Learned alone after its prompt, which no gradient goes to, each answer teaches the same."""
    [group] = sample(policy, talk(thrice), group_size=2)

    def gradient(batch):
        policy.log_probs(batch, temperature=1.0).sum().backward()
        parameters = parameters_by_name(policy.adapters).values()
        found = torch.cat([parameter.grad.flatten() for parameter in parameters])
        policy.model.zero_grad()
        return found

    together = gradient(packed([group], policy.device))
    apart = gradient(pack(as_single_answers(group), policy.device))
    assert (together - apart).norm() < 1e-4 * apart.norm()


def test_the_first_answer_is_that_of_a_problem_without_an_environment(policy):
    problem = talk(thrice)
    [talked], [alone] = sample(policy, problem), sample(policy, replace(problem, environment=None))
    for one, other in zip(talked.completions, alone.completions, strict=True):
        assert one.tokens[: len(other.tokens)] == other.tokens


@pytest.mark.parametrize(
    ("problem", "sampling", "answers"),
    [
        pytest.param(talk(lambda *_: Reply("1+1=")), Sampling(max_new_tokens=1), 1, id="an answer is cut off"),
        pytest.param(talk(lambda *_: Reply("1+1="), answers=2), SAMPLING, 2, id="the most answers"),
        pytest.param(talk(lambda *_: Reply("1" * 108)), SAMPLING, 1, id="no room for another answer"),
        pytest.param(talk(lambda *_: Reply("1" * 10_000_000)), SAMPLING, 1, id="a flood"),
    ],
)
def test_a_conversation_that_is_cut_off_has_not_ended(policy, problem, sampling, answers):
    for one in sample(policy, problem, sampling=sampling)[0].completions:
        assert not one.ended and len(one.scores) == answers and len(one.given) == answers - 1


def test_a_conversation_stays_within_the_context_to_the_token(policy):
    [group] = sample(policy, talk(lambda *_: Reply("8+1-2="), answers=1000), sampling=Sampling(max_new_tokens=16))
    for one in group.completions:
        before_the_last = len(group.prompt) + (one.given[-1][1] if one.given else 0)
        assert before_the_last + 16 <= policy.context < before_the_last + 16 + 17 + 9


def test_conversations_stand_beside_single_answers_and_do_not_depend_on_them(policy):
    alone, beside = talk(thrice), replace(talk(thrice, asked="5+5+5="), environment=None)
    [own] = sample(policy, alone)
    both = sample(policy, beside, alone, rows=3)
    assert both[1].completions == own.completions and both[0] == sample(policy, beside)[0]


def test_servers_continue_a_conversation_token_by_token(policy, tmp_path):
    greedy = replace(SAMPLING, temperature=0.0)
    with Listening(Reference()) as server:
        engine = connect(
            policy, Shelf(tmp_path / "published", "embedded"), [server.url], longest=64, rank=8, patience=20.0
        )
        [served] = engine.sample([talk(thrice)], 2, greedy, KEY)
        engine.close()
    [local] = sample(policy, talk(thrice), group_size=2, sampling=greedy)
    assert [one.tokens for one in served.completions] == [one.tokens for one in local.completions]
    assert [one.given for one in served.completions] == [one.given for one in local.completions]


def test_another_process_gets_the_conversation_with_its_scores(policy):
    [group] = sample(policy, talk(thrice))
    scores = judged(HigherLower(), [group])[0]
    assert read_answered(group.problem, plain_answered((group, scores))) == (group, scores)


def test_solutions_are_no_conversations(policy):
    with pytest.raises(ValueError, match="is a conversation with an environment, which no worked solution shows"):
        Teacher(policy).sample([talk(thrice)], 1, SAMPLING, KEY)


def test_the_template_s_end_of_an_answer_is_not_doubled(policy):
    tokenizer = policy.tokenizer
    turn = {"role": "user", "content": "5+5="}
    for is_closed, text in ((True, "<|user|>5+5=<|assistant|>"), (False, "<|end|><|user|>5+5=<|assistant|>")):
        assert list(reply_tokens(tokenizer, [turn], is_closed=is_closed)) == tokenizer(text).input_ids


def test_a_template_that_hides_a_reply_is_refused(policy, monkeypatch):
    monkeypatch.setattr(policy.tokenizer, "chat_template", "{{ messages[0]['content'] }}paringmark")
    with pytest.raises(ValueError, match="does not show what an environment says"):
        reply_tokens(policy.tokenizer, [{"role": "user", "content": "5+5="}], is_closed=True)
