"""Every objective through packing, passes and chunks, against loops over plain logits of the same model."""

from typing import get_args

import pytest
import torch

from paring.adapters.attach import exchanged, parameters_by_name, state
from paring.maths.advantages import Outcome
from paring.maths.objectives import (
    Cispo,
    Grpo,
    GrpoPositive,
    OfFamily,
    OfHalves,
    OfPaper,
    Raft,
    Rec,
    Reinforce,
    Rgra,
    Rloo,
)
from paring.policy.model import Policy
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.training.optim import Adam, Optimiser
from paring.training.update import Worth, improve
from paring.types import Completion, Group, Problem

TEMPERATURE = 0.9
LONGEST = 9
LENGTHS = [(4, [3, 1, 8]), (1, [2, 6, 2]), (9, [5, 5, 9])]
REWARD_PG = torch.tensor([[1.1, 0.1, 0.0], [0.1, 0.1, 0.0], [1.1, 0.0, 1.1]], dtype=torch.float64)
OBJECTIVES = [
    *(kind() for kind in get_args(OfPaper) + get_args(OfFamily) + get_args(OfHalves)),
    Rgra(kl_coef=0.4, kl="k1", reduce="sum", std=False),
    Grpo(kl_coef=0.4, kl="k2", clip_low="off"),
    GrpoPositive(kl_coef=0.4, clip_high="off", reduce="constant"),
    Reinforce(kl_coef=0.4, reward="signed"),
    Rloo(kl_coef=0.4),
    Raft(ties="all", all_wrong="drop", reduce="per-sequence"),
    Cispo(clip_low=0.1, clip_high=0.1),
    Rec(sides="both", ratio=True),
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


def moved(adapters):
    """Other values of the same adapters: those of an older policy."""
    generator = torch.Generator().manual_seed(9)
    return {
        name: value + 0.02 * torch.randn(value.shape, generator=generator) for name, value in state(adapters).items()
    }


def plain_log_probs(model, groups):
    """log pi of each completion's tokens from the whole logits of its own sequence: [B][T]."""
    rows = []
    for group in groups:
        for completion in group.completions:
            token_N = torch.tensor([*group.prompt, *completion.tokens])
            logit_NV = model(token_N[None]).logits[0] / TEMPERATURE
            logp_N = logit_NV[:-1].log_softmax(-1).gather(-1, token_N[1:, None])[:, 0]
            rows.append(logp_N[len(group.prompt) - 1 :])
    return rows


@pytest.fixture(scope="module")
def reference(tiny, groups):
    """The base's log-probs."""
    with torch.no_grad():
        return plain_log_probs(tiny(), groups)


@pytest.fixture(scope="module")
def old(tiny, with_adapters, groups):
    """Those of an older policy."""
    model = tiny()
    adapters = with_adapters(model)
    with torch.no_grad(), exchanged(adapters, moved(adapters)):
        return plain_log_probs(model, groups)


def bound(value, off, sign):
    return off if value == "off" else 1 + sign * value


def token_gain(objective, logp, old, advantage, sequence_ratio):
    """What one token adds, written out again."""
    ratio, kind = (logp - old).exp(), objective.kind
    if kind in ("rgra", "reinforce", "raft", "sft", "rloo", "gpg", "nsr", "psr"):
        return advantage * logp
    low, high = bound(objective.clip_low, 0.0, -1), bound(objective.clip_high, 1e9, 1)
    if kind == "cispo":
        return min(max(float(ratio), low), high) * advantage * logp
    if kind == "rec":
        above, below = float(ratio) > high, float(ratio) < low
        if above or below:
            away = (above and advantage > 0) or (below and advantage < 0)
            if away or objective.sides == "both":
                return 0.0 * logp
        return advantage * (ratio if objective.ratio else logp)
    if kind == "gspo":
        ratio = sequence_ratio
    return torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)


def kl(name, difference):
    return {"k1": -difference, "k2": difference**2 / 2, "k3": difference.exp() - difference - 1}[name]


def plain_loss(objective, policy, old, reference, advantages, selected):
    chosen = [len(row) for row, one in zip(policy, selected, strict=True) if one]
    loss = 0.0
    for logp_T, old_T, reference_T, advantage in zip(policy, old, reference, advantages, strict=True):
        sequence_ratio = (logp_T - old_T).mean().exp()
        weight = {
            "per-sequence": 1 / (len(chosen) * len(logp_T)),
            "per-token": 1 / sum(chosen),
            "constant": 1 / (len(chosen) * LONGEST),
            "sum": 1 / len(chosen),
        }[objective.reduce]
        for logp, before, anchor in zip(logp_T, old_T, reference_T, strict=True):
            gain = token_gain(objective, logp, before, advantage, sequence_ratio)
            if objective.kl_coef:
                gain = gain - objective.kl_coef * kl(objective.kl, anchor - logp)
            loss = loss - weight * gain
    return loss


CUT_OFF = [Rgra(kl_coef=0.4), Grpo(kl_coef=0.4, reduce="per-token"), Rloo(), Raft(), Reinforce(reward="signed")]


@pytest.mark.parametrize(
    ("objective", "cut_off"), [*((one, False) for one in OBJECTIVES), *((one, True) for one in CUT_OFF)], ids=str
)
def test_loss_and_gradient_off_policy(objective, cut_off, tiny, tokenizer, with_adapters, groups, reference, old):
    """With rollout.mask_truncated as if the answers that were `cut_off` were not there, but for their advantages."""
    plain, packed = tiny(), tiny()
    adapters, policy = with_adapters(plain), Policy(packed, tokenizer, with_adapters(packed))
    length_PG = torch.tensor([[len(one.tokens) for one in group.completions] for group in groups])
    ended_PG = length_PG < 8 if cut_off else torch.ones_like(length_PG, dtype=torch.bool)
    outcome = Outcome(REWARD_PG, REWARD_PG >= 1, length_PG, LONGEST, ended_PG)
    advantage_PG, selected_PG = objective.advantage(outcome), objective.selected(outcome)
    given = plain_log_probs(plain, groups), old, reference, advantage_PG.flatten().tolist(), selected_PG.flatten()
    ended = ended_PG.flatten().tolist()
    loss = plain_loss(objective, *([value for value, one in zip(part, ended, strict=True) if one] for part in given))
    loss.backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in parameters_by_name(adapters).values()])
    found = improve(
        policy,
        Optimiser(parameters_by_name(policy.adapters), Adam(max_grad_norm=1e9)),
        Worth.of(objective, groups, outcome, mask_truncated=cut_off),
        objective,
        Rollout(problems=3, group_size=3, max_new_tokens=LONGEST, temperature=TEMPERATURE),
        **dict(tokens_per_pass=20, lr=0.0, seed=0, watch=Stopwatch()),
        older=lambda: exchanged(policy.adapters, moved(policy.adapters)),
    )
    gradient = torch.cat([one.grad.flatten() for one in parameters_by_name(policy.adapters).values()])
    assert found.measures["loss"] == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-6)
    assert found.measures["ratio_max"] > 1.1 and found.measures["kl_sampling"] > 1e-3
    assert expected.norm() > 0
    assert (gradient - expected).norm() <= 1e-4 * expected.norm()
