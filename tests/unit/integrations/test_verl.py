"""Our objectives in verl: as verl's own functions where those are the same, as our own loss everywhere."""

import math
import os
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch

pytest.importorskip("verl")

from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, get_adv_estimator_fn, get_policy_loss_fn
from verl.workers.config import ActorConfig

from paring.integrations.verl import AGGREGATIONS, VerlObjective, refusal, register
from paring.maths.objective import LogProbs, Totals
from paring.maths.objectives import (
    AnyObjective,
    Cispo,
    ClipCov,
    Dapo,
    Distillation,
    Dppo,
    Gdpo,
    Gmpo,
    Gpg,
    Grpo,
    Gspo,
    KlCov,
    Nsr,
    OwnObjective,
    Raft,
    RaftPlus,
    ReinforceRej,
    Rgra,
    Rloo,
    Sapo,
    Sft,
)

B, T, LENGTHS = 6, 8, [8, 5, 3, 8, 8, 8]
TOKENS = sum(LENGTHS)
KINDS = [kind for kind in get_args(get_args(AnyObjective)[0]) if kind not in (Distillation, OwnObjective)]


@pytest.fixture
def micro_batch():
    """old log-probs, log-probs, advantages and mask; what stands where the mask is 0 must not matter."""
    generator = torch.Generator().manual_seed(0)
    old = -2 * torch.rand(B, T, generator=generator)
    new = (old + 0.6 * torch.randn(B, T, generator=generator)).clamp(max=-0.01)
    mask = (torch.arange(T) < torch.tensor(LENGTHS)[:, None]).long()
    advantages = torch.tensor([1.2, -0.7, 0.4, -1.5, 0.0, 0.6])[:, None] * mask
    return old, new.requires_grad_(), advantages, mask


def actor(mode, **settings):
    settings = {"strategy": "fsdp", "rollout_n": 2, "ppo_micro_batch_size_per_gpu": 2, "loss_agg_mode": mode} | settings
    return ActorConfig(**settings)


def loss_and_slope(function, micro_batch, mode, config, weights=None):
    old, new, advantages, mask = micro_batch
    new.grad = None
    loss, metrics = function(old, new, advantages, mask, mode, config, weights)
    loss.backward()
    return loss.detach(), new.grad, metrics


@pytest.mark.parametrize(
    ("objective", "theirs", "settings"),
    [
        (Grpo(delta=3.0, reduce="per-token"), "vanilla", {}),
        (Grpo(delta=3.0, clip_high=0.4, reduce="constant"), "vanilla", {"clip_ratio_high": 0.4}),
        (Gspo(), "gspo", {"clip_ratio_low": 3e-4, "clip_ratio_high": 4e-4}),
        (Cispo(clip_low=0.2, clip_high=0.3), "cispo", {"clip_ratio_high": 0.3}),
        (Rgra(), "gpg", {}),
        (Gpg(reduce="sum"), "gpg", {}),
        (Sapo(), "sapo", {"tau_pos": 1.0, "tau_neg": 1.05}),
        (Gmpo(), "geo_mean", {"clip_ratio_low": 0.4, "clip_ratio_high": 0.4}),
        (Dppo(), "dppo_tv", {"clip_ratio_c": 20.0}),
        (KlCov(share=0.25, penalty=0.1), "kl_cov", {"policy_loss": {"kl_cov_ratio": 0.25}}),
        (
            ClipCov(share=0.9, cov_low=0.1, cov_high=0.5),
            "clip_cov",
            {"policy_loss": {"clip_cov_ratio": 0.9, "clip_cov_lb": 0.1, "clip_cov_ub": 0.5}},
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_policy_loss_is_verl_s_own(micro_batch, objective, theirs, settings, weighted):
    from verl.workers.config import PolicyLossConfig

    if "policy_loss" in settings:
        settings = settings | {"policy_loss": PolicyLossConfig(**settings["policy_loss"])}
    mode = AGGREGATIONS[objective.reduce]
    config = actor(mode, **settings)
    weights = torch.rand(B, T, generator=torch.Generator().manual_seed(1)) if weighted else None
    if weighted and theirs in ("geo_mean", "gspo"):
        weights = torch.full((B, T), 0.7)  # of weights that differ by token, each makes another mean over the answer
    ours = loss_and_slope(VerlObjective(objective).loss, micro_batch, mode, config, weights)
    own = loss_and_slope(get_policy_loss_fn(theirs), micro_batch, mode, config, weights)
    assert ours[1].abs().max() > 1e-3
    for one, other in zip(ours[:2], own[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_its_own_loss_or_is_refused(micro_batch, kind):
    """Divided by the size of the whole batch, on two processes whose gradients verl averages."""
    objective = kind()
    if kind in (Sft, Raft, RaftPlus, ReinforceRej, Gdpo):
        with pytest.raises(ValueError, match=r"samples nothing|leave none out|verl's own"):
            register(objective, "refused")
        assert f"paring-{objective.kind}" not in ADV_ESTIMATOR_REGISTRY
        return
    mode = AGGREGATIONS[objective.reduce]
    config = actor(mode)
    config.global_batch_info.update(
        dp_size=2, batch_num_tokens=2 * TOKENS, global_batch_size=2 * B, loss_scale_factor=T
    )
    function = get_policy_loss_fn(f"paring-{objective.kind}")
    torch.manual_seed(3)
    loss, slope, _ = loss_and_slope(function, micro_batch, mode, config)
    old, new, advantages, mask = micro_batch
    new.grad = None
    is_token = mask.bool()
    torch.manual_seed(3)
    picked = function.__self__._picked(new, old, advantages[:, :1], is_token)
    logp = LogProbs(*(one.masked_fill(~is_token, 0.0) for one in (new, old)), None, picked_BT=picked)
    expected = objective(logp, advantages[:, 0], mask.float(), Totals(2 * B, 2 * TOKENS, T)) * 2
    expected.backward()
    assert math.isclose(float(loss), float(expected), rel_tol=1e-5)
    torch.testing.assert_close(slope, new.grad, rtol=1e-5, atol=1e-7)


def rollout():
    """Three problems with two answers each, whose rows are mixed; the reward stands at the last token."""
    uid = np.array(["b", "a", "c", "a", "b", "c"], dtype=object)
    mask = (torch.arange(T) < torch.tensor(LENGTHS)[:, None]).long()
    rewards = torch.zeros(B, T)
    for row, reward in enumerate([1.0, 0.0, 0.5, 1.0, 0.25, 0.5]):
        rewards[row, LENGTHS[row] - 1] = reward
    return {"token_level_rewards": rewards, "response_mask": mask, "index": uid, "config": None}


@pytest.mark.parametrize(
    ("objective", "theirs", "settings"),
    [
        (Rgra(), "grpo", {}),
        (Rgra(std=False), "grpo", {"norm_adv_by_std_in_grpo": False}),
        (Rloo(), "rloo", {}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_advantages_are_verl_s_own(objective, theirs, settings):
    """verl adds 1e-6 to the standard deviation, and we 1e-4: the smallest is 0.5."""
    ours, returns = VerlObjective(objective).advantages(**rollout())
    expected, _ = get_adv_estimator_fn(theirs)(**rollout(), **settings)
    assert ours is returns and ours.abs().max() > 0.3
    torch.testing.assert_close(ours, expected, rtol=3e-4, atol=1e-6)


def test_what_is_right_is_read_from_the_reward():
    ours, _ = VerlObjective(Nsr(), correct_at=0.5).advantages(**rollout())
    assert ours[:, 0].tolist() == [0.0, -1.0, 0.0, 0.0, -1.0, 0.0]


def test_groups_of_several_sizes_are_refused():
    batch = rollout() | {"index": np.array(["a", "a", "a", "b", "b", "c"], dtype=object)}
    with pytest.raises(ValueError, match="problems have 1 to 3 answers"):
        VerlObjective(Rgra()).advantages(**batch)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Rgra(kl_coef=0.1), "actor.use_kl_loss"),
        (Rgra(entropy_coef=0.1), "actor.entropy_coeff"),
        (Rgra(top_entropy=0.2), "shows its losses no entropies"),
        (Dapo(overlong_filter=True), "over some of the answers"),
        (Distillation(teacher="x"), "asks a teacher"),
    ],
)
def test_what_verl_cannot_run_is_refused_at_once(objective, words):
    assert words in (refusal(objective) or "")


def test_another_aggregation_and_advantages_by_token_are_refused(micro_batch):
    old, new, advantages, mask = micro_batch
    ours = VerlObjective(Rgra()).loss
    with pytest.raises(ValueError, match=r"set actor\.loss_agg_mode=seq-mean-token-mean"):
        ours(old, new, advantages, mask, "token-mean")
    with pytest.raises(ValueError, match="differ by token"):
        ours(old, new, advantages + torch.arange(T), mask, "seq-mean-token-mean")


def test_an_objective_with_settings_has_a_name_of_its_own():
    register(Grpo(clip_high=0.28), "higher")
    assert get_policy_loss_fn("higher").__self__.objective.clip_high == 0.28 and "higher" in ADV_ESTIMATOR_REGISTRY
    with pytest.raises(ValueError, match="already been registered"):
        register(Rgra(), "higher")


def test_verl_imports_what_its_environment_names():
    code = "import verl; from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY as R; print('paring-rgra' in R)"
    ours = {"VERL_USE_EXTERNAL_MODULES": "paring.integrations.verl", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = os.environ | ours
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip().endswith("True"), done.stderr[-2000:]
