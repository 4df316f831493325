"""What adapters do to a policy, foretold from one pass and measured by taking them away."""

import pytest
import torch
from torch.nn import functional

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.policy.model import Policy
from paring.policy.packing import Shared, pack
from paring.policy.sensitivity import seen_by


@pytest.fixture
def policy(tiny, tokenizer):
    model, generator = tiny(), torch.Generator().manual_seed(3)
    made = Policy(model, tokenizer, attach(model, Lora(rank=2, alpha=2.0), seed=0))
    for adapter in made.adapters.values():
        adapter.B_OR.data.normal_(0, 0.02, generator=generator)
    return made


@pytest.fixture
def batch():
    drawn = torch.randint(1, 60, (40, 30), generator=torch.Generator().manual_seed(5)).tolist()
    return pack([Shared(row[:2], [row[2:]]) for row in drawn], torch.device("cpu"))


@torch.no_grad()
def predictions(policy, batch):
    hidden_ND = policy.hidden(batch.token_N[None], batch.position_N[None], batch.layout)[0]
    return functional.log_softmax(policy.logits(hidden_ND[batch.predictor_M]), dim=-1)


def test_the_kl_of_removing_a_small_update_is_foretold(policy, batch):
    """K-FAC takes inputs and gradients for independent, and the Fisher matrix is of one draw a token: a factor of 2."""
    whole_MV, seen = predictions(policy, batch), seen_by(policy, batch, seed=0)
    for path, adapter in policy.adapters.items():
        adapter.enabled = False
        kl = functional.kl_div(predictions(policy, batch), whole_MV, log_target=True, reduction="batchmean")
        adapter.enabled = True
        assert 0.5 < sum(seen[path].worth_R()) / float(kl) < 2, path


def test_it_follows_from_the_seed_and_leaves_nothing_behind(policy, batch):
    first, again, other = (seen_by(policy, batch, seed=seed) for seed in (1, 1, 2))
    path = next(iter(first))
    assert first[path].worth_R() == again[path].worth_R() != other[path].worth_R()
    assert all(one.A_RI.grad is None and one.B_OR.grad is None for one in policy.adapters.values())
    assert first[path].inputs == len(batch.token_N)
