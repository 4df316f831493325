"""Objectives that look at entropies or at a whole batch: against autograd over plain logits, however a step is cut."""

import pytest
import torch

from paring.adapters.attach import parameters_by_name
from paring.maths.objectives import ClipCov, Grpo, KlCov, Rgra
from paring.policy.model import Policy
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.training.optim import Adam, Optimiser
from paring.training.update import Worth, improve
from paring.types import Completion, Group, Problem

TEMPERATURE, LONGEST = 0.9, 9
LENGTHS = [(4, [3, 1, 8]), (1, [2, 6, 2]), (9, [5, 5, 1])]
ADVANTAGE_PG = torch.tensor([[1.2, -0.6, -0.6], [0.0, 0.0, 0.0], [0.0, 0.9, -0.9]], dtype=torch.float64)
OBJECTIVES = [
    Rgra(entropy_coef=0.3),
    Rgra(top_entropy=0.2),
    Rgra(top_entropy=0.4, entropy_coef=0.3, kl_coef=0.2),
    KlCov(share=0.2),
    ClipCov(share=0.9, cov_low=0.0, cov_high=9.0),
]


@pytest.fixture(scope="module")
def groups():
    generator = torch.Generator().manual_seed(5)

    def tokens(count):
        return tuple(torch.randint(62, (count,), generator=generator).tolist())

    return [
        Group(Problem("p", (), ""), tokens(prompt), tuple(Completion(tokens(n), (0.0,) * n, "", True) for n in lengths))
        for prompt, lengths in LENGTHS
    ]


def updated(policy, groups, objective, *, updates=1, tokens_per_pass=10_000, lr=0.0):
    return improve(
        policy,
        Optimiser(parameters_by_name(policy.adapters), Adam(max_grad_norm=1e9)),
        Worth(groups, ADVANTAGE_PG, torch.ones_like(ADVANTAGE_PG, dtype=torch.bool), LONGEST),
        objective,
        Rollout(problems=3, group_size=3, max_new_tokens=LONGEST, temperature=TEMPERATURE, updates=updates),
        **{"tokens_per_pass": tokens_per_pass, "lr": lr, "seed": 0, "watch": Stopwatch()},
    )


def gradient(adapters):
    return torch.cat([parameter.grad.flatten() for parameter in parameters_by_name(adapters).values()])


def logs_by_completion(model, groups):
    """log p over the vocabulary at each token of each completion, and that of the token itself: [(T, V), (T)]."""
    for group in groups:
        for completion in group.completions:
            token_N = torch.tensor([*group.prompt, *completion.tokens])
            log_NV = (model(token_N[None]).logits[0, :-1] / TEMPERATURE).log_softmax(-1)[len(group.prompt) - 1 :]
            yield log_NV, log_NV.gather(-1, torch.tensor(completion.tokens)[:, None])[:, 0]


@pytest.mark.parametrize("top", [1.0, 0.25])
def test_the_gradient_of_bonus_and_top_entropy_by_autograd(tiny, tokenizer, with_adapters, groups, top):
    plain, packed = tiny(), tiny()
    adapters, policy = with_adapters(plain), Policy(packed, tokenizer, with_adapters(packed))
    rows = [(-(log_TV.exp() * log_TV).sum(-1), logp_T) for log_TV, logp_T in logs_by_completion(plain, groups)]
    advantages = ADVANTAGE_PG.flatten().tolist()
    entropies = sorted((float(one) for entropy_T, _ in rows for one in entropy_T), reverse=True)
    threshold = entropies[max(1, -int(-top * len(entropies) // 1)) - 1]
    loss = torch.zeros(())
    for (entropy_T, logp_T), advantage in zip(rows, advantages, strict=True):
        learned_T = entropy_T.detach() >= threshold - 1e-6
        loss = loss - (advantage * logp_T * learned_T + 0.3 * entropy_T).mean() / 9
    loss.backward()
    found = updated(policy, groups, Rgra(entropy_coef=0.3, top_entropy=top))
    expected, ours = gradient(adapters), gradient(policy.adapters)
    assert found.measures["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert found.measures["entropy_exact"] == pytest.approx(sum(entropies) / len(entropies), rel=1e-5)
    assert (ours - expected).norm() <= 1e-4 * expected.norm() and expected.norm() > 0


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_the_cut_of_a_step_changes_nothing(make_policy, groups, objective):
    """The second update, too, where the policy is not the one that sampled."""
    ends = []
    for tokens_per_pass in (1, 16, 10_000):
        policy = make_policy()
        found = updated(policy, groups, objective, updates=2, tokens_per_pass=tokens_per_pass, lr=0.01)
        ends.append((found.measures["loss"], gradient(policy.adapters)))
    for loss, found in ends[1:]:
        assert loss == pytest.approx(ends[0][0], rel=1e-4, abs=1e-6)
        assert (found - ends[0][1]).norm() <= 1e-4 * ends[0][1].norm()


def test_what_picks_nothing_has_the_bytes_of_its_kin(make_policy, groups):
    pairs = [(ClipCov(share=0.0), Grpo(reduce="per-token")), (Rgra(entropy_target=1.0), Rgra())]
    for pair in pairs:
        ends = []
        for objective in pair:
            policy = make_policy()
            updated(policy, groups, objective, updates=2, lr=0.01)
            ends.append(parameters_by_name(policy.adapters))
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
