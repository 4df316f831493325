"""Every objective, with settings that reach each of its branches."""

import pytest
import torch

from paring.maths.advantages import Outcome
from paring.maths.objectives import (
    Cispo,
    ClipCov,
    Dapo,
    Dppo,
    DrGrpo,
    Gdpo,
    Gmpo,
    Gpg,
    Grpo,
    GrpoPositive,
    Gspo,
    KlCov,
    Luspo,
    MaxRl,
    Nsr,
    Pkpo,
    Psr,
    Raft,
    RaftPlus,
    Rec,
    Reinforce,
    ReinforceRej,
    Rgra,
    Rloo,
    Sapo,
    Sft,
    Vespo,
    Wapo,
)

KINDS = [
    Rgra(),
    Rgra(std=False, reduce="constant", kl_coef=0.3, kl="k2"),
    Grpo(clip_high=0.28),
    Grpo(clip_low="off", clip_high="off", kl_coef=0.3),
    Grpo(clip_low="off", reduce="sum"),
    GrpoPositive(),
    GrpoPositive(std=False, clip_high="off", reduce="per-token", kl_coef=0.3, kl="k1"),
    Reinforce(),
    Reinforce(reward="signed", reduce="per-token", kl_coef=0.3),
    Raft(),
    Raft(ties="all", all_wrong="drop", reduce="per-sequence"),
    Sft(),
    Rloo(),
    Rloo(kl_coef=0.3, kl="k1"),
    DrGrpo(),
    DrGrpo(kl_coef=0.3),
    Dapo(),
    Gspo(clip_low=0.1, clip_high=0.1),
    Cispo(clip_high=0.2),
    Cispo(clip_low=0.2),
    Gpg(),
    Gpg(std=True, alpha=False, reduce="per-token"),
    RaftPlus(),
    RaftPlus(all_wrong="train", clip_high="off"),
    ReinforceRej(),
    Rec(),
    Rec(ratio=True, std=True),
    Rec(sides="both", ratio=True, reduce="per-sequence"),
    Nsr(),
    Nsr(right_weight=0.1),
    Psr(reduce="per-sequence"),
    Wapo(),
    Wapo(clip_high=0.2),
    Rgra(std="batch", sequence_mask=0.5, kl_coef=0.3, kl_weighted=True, kl="k2"),
    Grpo(delta=3.0, sequence_mask=0.5, kl_coef=0.3, kl_weighted=True, kl="k2"),
    Dapo(overlong_filter=True),
    Nsr(clip=0.2, count="trained"),
    Psr(clip=0.2, count="trained"),
    Sapo(),
    Gmpo(),
    Vespo(),
    Luspo(clip_low=0.1, clip_high=0.1),
    Dppo(),
    Dppo(tv_low=0.01, tv_high=0.01),
    MaxRl(),
    Pkpo(k=2),
    Pkpo(k=4, reduce="per-token"),
    Gdpo(),
    ClipCov(),
    KlCov(),
]


@pytest.fixture(params=KINDS, ids=str)
def objective(request):
    return request.param


@pytest.fixture
def outcome() -> Outcome:
    """Three groups of four: two right of which one is badly formed, all wrong, all right."""
    reward_PG = torch.tensor([[1.1, 1.0, 0.1, 0.0], [0.1, 0.0, 0.0, 0.1], [1.1, 1.1, 1.1, 1.1]], dtype=torch.float64)
    length_PG = torch.tensor([[10, 8, 9, 5], [1, 2, 3, 4], [10, 10, 10, 10]])
    return Outcome(reward_PG, reward_PG >= 1, length_PG, longest=10)


@pytest.fixture
def kinds():
    return KINDS
