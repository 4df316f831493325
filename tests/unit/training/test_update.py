"""From scored groups to a moved policy: the gradient by the plain way, however it is cut, and the guard."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from paring.adapters.attach import attach, exchanged, parameters_by_name
from paring.adapters.gates import Proximal
from paring.adapters.kinds import L1ra, Lora
from paring.maths.kl import k3
from paring.maths.objective import LogProbs, Objective, Totals
from paring.maths.objectives import Grpo, Rgra
from paring.policy.model import Policy
from paring.policy.packing import Shared, pack, packed_tokens
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.training import measures
from paring.training.measures import ratio_quantiles
from paring.training.optim import Adam, Optimiser
from paring.training.update import Worth, cut, divided, improve
from paring.types import Completion, Group, Problem

TEMPERATURE = 0.9
LENGTHS = [(4, [3, 1, 8]), (1, [2, 6, 2]), (9, [5, 5, 1])]
ADVANTAGE_PG = torch.tensor([[1.2, -0.6, -0.6], [0.0, 0.0, 0.0], [0.0, 0.9, -0.9]], dtype=torch.float64)
OBJECTIVES = [
    kind(kl_coef=kl_coef, reduce=reduce)
    for kind in (Rgra, Grpo)
    for kl_coef in (0.0, 0.4)
    for reduce in ("per-sequence", "per-token")
]


def group(prompt, answers) -> Group:
    completions = tuple(Completion(tuple(answer), (0.0,) * len(answer), "", True) for answer in answers)
    return Group(Problem("p", (), ""), tuple(prompt), completions)


@pytest.fixture
def groups():
    generator = torch.Generator().manual_seed(5)

    def tokens(count):
        return torch.randint(64, (count,), generator=generator).tolist()

    return [group(tokens(prompt), [tokens(length) for length in lengths]) for prompt, lengths in LENGTHS]


def update(
    policy,
    groups,
    objective,
    *,
    optimiser=None,
    advantage_PG=ADVANTAGE_PG,
    updates=1,
    minibatches=1,
    truncate_ratio="off",
    correction="tis",
    old_logprobs="recomputed",
    **others,
):
    """One update with a gradient that is not clipped."""
    optimiser = optimiser or Optimiser(parameters_by_name(policy.adapters), Adam(max_grad_norm=1e9))
    worth = Worth(groups, advantage_PG, torch.ones_like(advantage_PG, dtype=torch.bool), longest=1)
    sizes = {"problems": len(groups), "group_size": 3, "max_new_tokens": 9}
    weights = {"truncate_ratio": truncate_ratio, "correction": correction, "old_logprobs": old_logprobs}
    rollout = Rollout(**sizes, temperature=TEMPERATURE, updates=updates, minibatches=minibatches, **weights)
    plain = {"tokens_per_pass": 10_000, "lr": 0.01, "seed": 0, "watch": Stopwatch()}
    return improve(policy, optimiser, worth, objective, rollout, **plain | others)


def values(policy):
    return {name: parameter.detach().clone() for name, parameter in parameters_by_name(policy.adapters).items()}


def gradient(policy):
    return torch.cat([parameter.grad.flatten() for parameter in parameters_by_name(policy.adapters).values()])


def plain_loss(policy, groups, objective):
    """All completions in one batch, none left out, one call of the objective."""
    batch = pack([Shared(one.prompt, [own.tokens for own in one.completions]) for one in groups], policy.device)
    with torch.no_grad(), policy.reference():
        reference_BT = policy.log_probs(batch, temperature=TEMPERATURE)
    policy_BT = policy.log_probs(batch, temperature=TEMPERATURE)
    logp = LogProbs(policy_BT, policy_BT.detach(), reference_BT)
    mask_BT = batch.mask_BT
    return objective(logp, ADVANTAGE_PG.flatten().float(), mask_BT, Totals(9, int(mask_BT.sum()))), logp, mask_BT


@pytest.mark.parametrize("tokens_per_pass", [1, 7, 16, 25, 10_000])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_neither_the_cut_nor_what_is_left_out_changes_loss_and_gradient(
    make_policy, groups, objective, tokens_per_pass
):
    policy = make_policy()
    loss, logp, mask_BT = plain_loss(policy, groups, objective)
    loss.backward()
    expected = gradient(policy)
    found = update(policy, groups, objective, lr=0.0, tokens_per_pass=tokens_per_pass)
    assert found.measures["loss"] == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-6)
    assert (gradient(policy) - expected).norm() <= 1e-5 * expected.norm()
    assert found.measures["grad_norm"] == pytest.approx(float(expected.norm()), rel=1e-4)
    if objective.kl_coef:
        kl = k3(logp.reference_BT - logp.policy_BT)[mask_BT.bool()].mean()
        assert found.measures["kl"] == pytest.approx(float(kl.detach()), rel=1e-4)
    # Without KL the five completions of advantage 0 (but not their prompts' others) are not looked at.
    assert found.tokens == (33 if objective.kl_coef else 3 + 1 + 8 + 5 + 1)


def test_rgra_and_grpo_take_the_same_single_step(make_policy, groups):
    after = []
    for objective in (Rgra(kl_coef=0.1), Grpo(kl_coef=0.1)):
        policy = make_policy()
        found = update(policy, groups, objective)
        assert (found.measures["clip_fraction"], found.measures["ratio_max"]) == (0, 1)
        after.append(values(policy))
    assert all(torch.equal(after[0][name], after[1][name]) for name in after[0])


def test_a_second_step_on_a_rollout_knows_the_ratio_to_the_first(make_policy, groups):
    ends = {}
    for objective in (Rgra(), Grpo(clip_low=0.01, clip_high=0.01)):
        policy = make_policy()
        found = update(policy, groups, objective, updates=3, lr=0.02)
        assert found.applied == 3 and found.measures["ratio_max"] > 1.01
        assert (found.measures["clip_fraction"] > 0) == isinstance(objective, Grpo)
        ends[objective.kind] = values(policy)
    assert any(not torch.equal(ends["rgra"][name], ends["grpo"][name]) for name in ends["rgra"])


def test_several_updates_are_single_updates_in_a_row(make_policy, groups):
    """RGRA has no old policy to remember."""
    at_once, in_a_row = make_policy(), make_policy()
    update(at_once, groups, Rgra(), updates=3)
    optimiser = Optimiser(parameters_by_name(in_a_row.adapters), Adam(max_grad_norm=1e9))
    for _ in range(3):
        update(in_a_row, groups, Rgra(), optimiser=optimiser)
    expected = values(in_a_row)
    assert all(torch.equal(value, expected[name]) for name, value in values(at_once).items())


def test_a_step_makes_the_better_answers_likelier(make_policy, groups):
    policy = make_policy()
    before = plain_loss(policy, groups, Rgra())[1].policy_BT.sum(-1)
    update(policy, groups, Rgra(), lr=1e-3)
    gain_B = (plain_loss(policy, groups, Rgra())[1].policy_BT.sum(-1) - before).detach()
    assert gain_B[0] > 0 and (gain_B * ADVANTAGE_PG.flatten()).sum() > 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_moves_nothing(make_policy, groups, monkeypatch, bad):
    policy = make_policy()
    before = values(policy)
    monkeypatch.setattr(Rgra, "__call__", lambda self, logp, *_: logp.policy_BT.sum() * 0 + bad)
    found = update(policy, groups, Rgra(), updates=3)
    assert found.dropped and found.applied == 0
    assert not math.isfinite(found.measures["loss"])
    assert all(torch.equal(value, before[name]) for name, value in values(policy).items())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_moves_nothing_and_leaves_no_trace(make_policy, groups, bad):
    policy, untouched = make_policy(), make_policy()
    optimisers = [Optimiser(parameters_by_name(one.adapters), Adam()) for one in (policy, untouched)]
    for one, optimiser in zip((policy, untouched), optimisers, strict=True):
        update(one, groups, Rgra(), optimiser=optimiser)
    before = values(policy)
    victim = next(iter(policy.adapters.values())).B_OR
    hook = victim.register_hook(lambda gradient: gradient * bad)
    found = update(policy, groups, Rgra(), optimiser=optimisers[0])
    hook.remove()
    assert found.dropped and found.applied == 0
    assert math.isfinite(found.measures["loss"]) and not math.isfinite(found.measures["grad_norm"])
    assert all(torch.equal(value, before[name]) for name, value in values(policy).items())
    # The next good step is the one that would have come without the bad one.
    for one, optimiser in zip((policy, untouched), optimisers, strict=True):
        assert update(one, groups, Rgra(), optimiser=optimiser).applied == 1
    expected = values(untouched)
    assert all(torch.equal(value, expected[name]) for name, value in values(policy).items())


def test_the_dropout_is_that_of_the_seed(make_policy, groups):
    ends = []
    for seed in (1, 1, 2):
        policy = make_policy(dropout=0.3)
        update(policy, groups, Rgra(), seed=seed, updates=2)
        ends.append(torch.cat([value.flatten() for value in values(policy).values()]))
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_a_rollout_without_any_signal_still_takes_its_step(make_policy, groups):
    policy = make_policy()
    alike = torch.zeros(3, 3, dtype=torch.float64)
    optimiser = Optimiser(parameters_by_name(policy.adapters), Adam())
    found = update(policy, groups, Rgra(), optimiser=optimiser, advantage_PG=alike, lr=0.1, tokens_per_pass=99)
    assert (found.tokens, found.applied, found.dropped) == (0, 1, False)
    assert (found.measures["loss"], found.measures["grad_norm"]) == (0, 0)


def test_groups_without_signal_shrink_no_gate(tiny, tokenizer, groups):
    """With one of three groups silent, gates shrink by two thirds; with all silent by nothing."""
    model, generator = tiny(), torch.Generator().manual_seed(3)
    policy = Policy(model, tokenizer, attach(model, L1ra(rank=2, alpha=2.0), seed=0))
    for adapter in policy.adapters.values():
        adapter.B_OR.data.normal_(0, 0.1, generator=generator)
    optimiser = Optimiser(parameters_by_name(policy.adapters), Adam(), Proximal(lr=1e-12, shrink=0.3))
    optimiser.weigh({path: (0.0, 0.5, 1.0, 0.0) for path in policy.adapters})
    assert (ADVANTAGE_PG != 0).any(-1).tolist() == [True, False, True]
    update(policy, groups, Rgra(), optimiser=optimiser, lr=0.0)
    gates = [one.c_R.detach().clone() for one in policy.adapters.values()]
    torch.testing.assert_close(gates, [torch.tensor([1.0, 0.9, 0.8, 1.0])] * len(gates))
    update(policy, groups, Rgra(), optimiser=optimiser, advantage_PG=torch.zeros_like(ADVANTAGE_PG), lr=0.0)
    torch.testing.assert_close([one.c_R.detach() for one in policy.adapters.values()], gates)


def test_the_phases_are_timed(make_policy, groups):
    watch = Stopwatch()
    update(make_policy(), groups, Rgra(), watch=watch)
    assert watch.seconds.keys() == {"training"}
    update(make_policy(), groups, Rgra(kl_coef=0.1), watch=watch)
    assert watch.seconds.keys() == {"training", "reference"}


def passes(groups, tokens_per_pass, needed_PG=None):
    needed_PG = torch.ones(3, 3, dtype=torch.bool) if needed_PG is None else needed_PG
    numbered_PG = torch.arange(9.0).view(3, 3)
    return list(cut(groups, numbered_PG, needed_PG, tokens_per_pass))


@pytest.mark.parametrize("tokens_per_pass", [1, 7, 13, 16, 25, 10_000])
def test_cut_keeps_order_and_limit_and_fills_what_it_can(groups, tokens_per_pass):
    expected = [(one.prompt, own.tokens) for one in groups for own in one.completions]
    parts = passes(groups, tokens_per_pass)
    assert [(one.prompt, own) for shared, _, _ in parts for one in shared for own in one.completions] == expected
    assert torch.cat([advantage_B for _, advantage_B, _ in parts]).tolist() == list(range(9))
    for shared, advantage_B, sampled in parts:
        assert len(sampled) == sum(len(own) for one in shared for own in one.completions)
        assert packed_tokens(shared) <= tokens_per_pass or len(advantage_B) == 1
    for (shared, *_), (later, *_) in pairwise(parts):
        prompt, own = later[0].prompt, later[0].completions[0]
        added = len(own) - 1 + (0 if shared[-1].prompt == prompt else len(prompt))
        assert packed_tokens(shared) + added > tokens_per_pass


def test_a_continued_group_gets_its_prompt_again(groups):
    # 4 + 2 + 0 tokens of the first group fit into 7; its third completion of 8 follows alone.
    (first, *_), (second, *_), *_ = passes(groups, 7)
    assert [one.prompt for one in first + second] == [groups[0].prompt] * 2
    assert [len(one.completions) for one in first + second] == [2, 1]


def test_cut_leaves_out_what_is_not_needed(groups):
    needed_PG = torch.tensor([[True, False, True], [False] * 3, [False, True, False]])
    ((shared, advantage_B, _),) = passes(groups, 10_000, needed_PG)
    assert advantage_B.tolist() == [0, 2, 7]
    assert [one.prompt for one in shared] == [groups[0].prompt, groups[2].prompt]
    assert passes(groups, 10_000, torch.zeros(3, 3, dtype=torch.bool)) == []


def test_while_no_adapter_changes_anything_the_reference_is_the_policy(make_policy, groups, monkeypatch):
    """Then there is no pass for it, and the gradient is that of one: the KL term is 0 and flat where both are equal."""
    gradients, watches = [], []
    for skips in (True, False):
        policy = make_policy()
        for adapter in policy.adapters.values():
            adapter.B_OR.data.zero_()
        monkeypatch.setattr(type(policy), "is_its_reference", property(lambda _, skips=skips: skips))
        watch = Stopwatch()
        found = update(policy, groups, Rgra(kl_coef=0.4), lr=0.0, watch=watch)
        assert found.measures["kl"] == pytest.approx(0.0, abs=1e-9)
        gradients.append(gradient(policy))
        watches.append(set(watch.seconds))
    torch.testing.assert_close(*gradients)
    assert watches == [{"training"}, {"training", "reference"}]


def test_the_policy_knows_whether_it_is_its_reference(make_policy):
    policy = make_policy()
    assert not policy.is_its_reference
    for adapter in policy.adapters.values():
        adapter.B_OR.data.zero_()
    assert policy.is_its_reference
    next(iter(policy.adapters.values())).B_OR.data[0, 0] = 1e-30
    assert not policy.is_its_reference


@pytest.mark.parametrize("objective", [Rgra(kl_coef=0.4), Grpo(kl_coef=0.4)], ids=str)
def test_the_shared_trunk_does_not_show(tiny, tokenizer, groups, monkeypatch, objective):
    """Adapters on the second of two layers: what the first gives is computed once for reference and both updates."""
    moved = []
    for shares in (True, False):
        model = tiny()
        adapters = attach(model, Lora(rank=3, targets=("layers.1.mlp.up_proj", "layers.1.self_attn.v_proj")), seed=0)
        for adapter in adapters.values():
            adapter.B_OR.data.fill_(0.05)
        policy = Policy(model, tokenizer, adapters)
        assert policy.trunk(pack([Shared([1], [[2]])], policy.device)) is not None
        if not shares:
            monkeypatch.setattr(Policy, "trunk", lambda *_: None)
        update(policy, groups, objective, updates=2)
        moved.append(values(policy))
    for name in moved[0]:
        torch.testing.assert_close(moved[0][name], moved[1][name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("objective", [Rgra(), Grpo(clip_low=0.01, clip_high=0.01), Rgra(kl_coef=0.4)], ids=str)
def test_a_minibatch_is_an_update_of_its_own_problems_by_the_policy_that_sampled(make_policy, groups, objective):
    """The ratio of the second is to the policy before the first, as if that had been an older sampler."""
    at_once, in_a_row = make_policy(), make_policy()
    found = update(at_once, groups, objective, minibatches=3)
    assert found.applied == 3 and found.measures["ratio_max"] > 1
    before = values(in_a_row)
    optimiser = Optimiser(parameters_by_name(in_a_row.adapters), Adam(max_grad_norm=1e9))
    for number in range(3):
        own = slice(number, number + 1)
        older = {"older": lambda: exchanged(in_a_row.adapters, before)}
        update(in_a_row, groups[own], objective, optimiser=optimiser, advantage_PG=ADVANTAGE_PG[own], **older)
    expected = values(in_a_row)
    for name, value in values(at_once).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def test_minibatches_divide_the_problems_evenly():
    assert [(one.start, one.stop) for one in divided(7, 3)] == [(0, 2), (2, 4), (4, 7)]
    assert [(one.start, one.stop) for one in divided(3, 3)] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, 1),
        ({"updates": 3}, 3),  # the first one's own log-probs are the old ones
        ({"minibatches": 3}, 3 + 2),  # those of the later minibatches are taken before the first step
        ({"minibatches": 3, "updates": 2}, 6 + 2),
        ({"stale": True}, 1 + 1),
        ({"stale": True, "updates": 2, "minibatches": 3}, 6 + 3),
    ],
)
def test_no_pass_is_made_that_is_not_needed(make_policy, groups, monkeypatch, changes, passes):
    """Besides the two over the sample that the KL is measured on. All groups have a signal here."""
    policy, real, calls = make_policy(), Policy.log_probs, []
    monkeypatch.setattr(Policy, "log_probs", lambda self, *a, **k: calls.append(1) or real(self, *a, **k))
    stale = changes.pop("stale", False)
    older = {"older": lambda: exchanged(policy.adapters, values(policy))} if stale else {}
    update(policy, groups, Rgra(), advantage_PG=torch.tensor([[1.0, -1.0, 0.0]] * 3), **changes, **older)
    assert len(calls) == passes + 2


def test_a_sampler_that_is_the_policy_changes_nothing(make_policy, groups):
    ends = []
    for stale in (False, True):
        policy = make_policy()
        older = {"older": lambda policy=policy: exchanged(policy.adapters, values(policy))} if stale else {}
        update(policy, groups, Grpo(clip_low=0.01, clip_high=0.01), updates=3, lr=0.02, **older)
        ends.append(values(policy))
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tokens_per_pass", [1, 16, 10_000])
@pytest.mark.parametrize("minibatches", [1, 3])
def test_what_is_measured_does_not_depend_on_the_cut(make_policy, groups, tokens_per_pass, minibatches):
    found = [
        update(
            make_policy(),
            groups,
            Grpo(clip_low=0.01, clip_high=0.01),
            updates=2,
            minibatches=minibatches,
            tokens_per_pass=size,
        ).measures
        for size in (25, tokens_per_pass)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-6)
    assert 0 < found[0]["ratio_low"] < found[0]["ratio_median"] < found[0]["ratio_high"] <= found[0]["ratio_max"]
    assert found[0]["clip_fraction"] > 0 and found[0]["kl_sampling"] > 0


def test_quantiles_by_hand():
    ratios = torch.arange(1.0, 201.0)[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    found = ratio_quantiles(ratios.log())
    assert found == pytest.approx({"ratio_low": 2, "ratio_median": 100, "ratio_high": 198, "ratio_max": 200})


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize(("one_in", "of_groups"), [(16, 1), (4, 2), (3, 3), (1, 3)])
def test_without_a_kl_term_the_kl_is_that_of_the_first_completions(
    make_policy, groups, monkeypatch, updates, one_in, of_groups
):
    """As it is before the last pass over the rollout, on one of the 9 completions in so many."""
    monkeypatch.setattr(measures, "KL_SAMPLE", one_in)
    policy, found = make_policy(), update(make_policy(), groups, Rgra(), updates=updates)
    if updates == 2:
        update(policy, groups, Rgra())
    _, logp, mask_BT = plain_loss(policy, groups, Rgra())
    first = slice(None, 3 * of_groups, 3)
    kl = k3(logp.reference_BT - logp.policy_BT)[first][mask_BT[first].bool()].mean()
    assert found.measures["kl"] == pytest.approx(float(kl.detach()), rel=1e-4)


def as_sampled(policy, groups, shift):
    """The groups with the policy's own log-probs, less `shift` nats, as those at which they were sampled."""
    batch = pack([Shared(one.prompt, [own.tokens for own in one.completions]) for one in groups], policy.device)
    with torch.no_grad():
        logps = iter((policy.log_probs(batch, temperature=TEMPERATURE) - shift).tolist())
    return [
        replace(
            one,
            completions=tuple(replace(own, logprobs=tuple(next(logps)[: len(own.tokens)])) for own in one.completions),
        )
        for one in groups
    ]


@pytest.mark.parametrize("correction", ["tis", "sequence-tis", "mis", "icepop"])
def test_a_sampler_that_is_the_trainer_changes_nothing(make_policy, groups, correction):
    """But for rounding: MKL's kernel for AVX2 gives a row other last bits beside another number of rows."""
    gradients = []
    for weights in ({}, {"truncate_ratio": 1.5, "correction": correction}):
        policy = make_policy()
        found = update(policy, as_sampled(policy, groups, 0.0), Rgra(), lr=0.0, **weights)
        gradients.append(gradient(policy))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
    measured = [found.measures[name] for name in ("mismatch", "mismatch_max", "mismatch_kl")]
    assert measured == pytest.approx([0, 0, 0], abs=1e-5)
    assert found.measures["importance_weight"] == pytest.approx(1, abs=1e-5)
    assert found.measures["importance_bounded"] == 0


@pytest.mark.parametrize("tokens_per_pass", [7, 10_000])
@pytest.mark.parametrize(("weights", "factor"), [({}, 1), ({"truncate_ratio": 9.0}, 2), ({"truncate_ratio": 1.5}, 1.5)])
def test_tokens_that_were_half_as_likely_to_be_sampled_weigh_twice(
    make_policy, groups, weights, factor, tokens_per_pass
):
    """Or as much as the bound, however the passes are cut; the log-probs go with their tokens."""
    policy = make_policy()
    update(policy, groups, Rgra(), lr=0.0)
    plain = gradient(policy)
    found = update(
        policy, as_sampled(policy, groups, math.log(2)), Rgra(), lr=0.0, tokens_per_pass=tokens_per_pass, **weights
    )
    torch.testing.assert_close(gradient(policy), factor * plain, rtol=1e-4, atol=1e-5)
    assert found.measures["mismatch"] == pytest.approx(math.log(2), abs=1e-5)
    assert found.measures["mismatch_kl"] == pytest.approx(2 - 1 - math.log(2), abs=1e-5)
    assert found.measures.get("importance_weight", 1) == pytest.approx(factor, abs=1e-5)
    assert found.measures.get("importance_bounded", 0) == (factor == 1.5)


@pytest.mark.parametrize("updates", [1, 2])
def test_old_log_probs_are_those_of_the_sampler_where_these_are_taken(make_policy, groups, updates):
    """Sampled half as likely as they are: each ratio is 2, beyond the clip, and no pass of the older policy is made."""
    policy, objective = make_policy(), Grpo(kl_coef=0.1)

    def older():
        raise AssertionError("no pass of the older policy")

    taken = {"old_logprobs": "sampler", "older": older, "lr": 0.0, "updates": updates}
    found = update(policy, as_sampled(policy, groups, math.log(2)), objective, **taken)
    assert found.measures["ratio_low"] == pytest.approx(2, abs=1e-4) == found.measures["ratio_max"]
    rises = sum(
        len(own.tokens)
        for one, row in zip(groups, ADVANTAGE_PG.tolist(), strict=True)
        for own, advantage in zip(one.completions, row, strict=True)
        if advantage > 0
    )
    assert found.measures["clip_fraction"] == pytest.approx(rises / 33)
    assert not {"mismatch", "mismatch_max", "mismatch_kl"} & found.measures.keys()
    assert found.measures["kl"] == pytest.approx(update(policy, groups, objective, lr=0.0).measures["kl"], abs=1e-6)


def test_an_objective_that_learns_from_an_advantage_of_0_leaves_nothing_out(make_policy, groups):
    class WithEntropy(Objective):
        learns_from_zero = True

        def gain(self, logp, advantage_B1, mask_BT):
            return (advantage_B1 - 0.1) * logp.policy_BT

    policy = make_policy()
    loss, *_ = plain_loss(policy, groups, WithEntropy())
    loss.backward()
    expected = gradient(policy)
    found = update(policy, groups, WithEntropy(), lr=0.0, tokens_per_pass=16)
    assert found.tokens == 33
    assert (gradient(policy) - expected).norm() <= 1e-5 * expected.norm()
