"""From what a rollout is worth to a moved policy: pack, log-probs, loss, gradient, step."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from paring.maths.advantages import Outcome
from paring.maths.objective import Objective, Totals
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch, Shared, pack, packed_tokens, shared_of
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.training.measures import Measures, kl_of_sample
from paring.training.optim import Optimiser, Update, step_if_finite
from paring.training.passes import Pass, idle, log_probs, survey
from paring.training.teaching import Teaching
from paring.training.world import ALONE, World
from paring.types import Completion, Group


@dataclass(frozen=True)
class Worth:
    """The worth of a rollout: the groups trained on, and what each of their completions adds.

    advantage_PG: float64. selected_PG: bool, the completions that the loss is a mean over; the others have advantage
    0. longest: the most tokens that a completion may have. masked_PG: bool, the completions that are not learned at
    all, not even by a KL term; None: there are none."""

    groups: Sequence[Group]
    advantage_PG: Tensor
    selected_PG: Tensor
    longest: int
    masked_PG: Tensor | None = None

    @classmethod
    def of(cls, objective: Objective, groups: Sequence[Group], outcome: Outcome, *, mask_truncated: bool) -> "Worth":
        """By the objective. `mask_truncated`: answers that were cut off count for their groups and are not learned."""
        advantage_PG, selected_PG = objective.advantage(outcome), objective.selected(outcome)
        if not mask_truncated or outcome.ended_PG is None:
            return cls(groups, advantage_PG, selected_PG, outcome.longest)
        ended_PG = outcome.ended_PG
        return cls(groups, advantage_PG * ended_PG, selected_PG & ended_PG, outcome.longest, ~ended_PG)

    def part(self, places: Sequence[int]) -> "Worth":
        groups = [self.groups[place] for place in places]
        chosen_P = torch.tensor(places, dtype=torch.int64)
        masked_PG = None if self.masked_PG is None else self.masked_PG[chosen_P]
        return Worth(groups, self.advantage_PG[chosen_P], self.selected_PG[chosen_P], self.longest, masked_PG)

    def totals(self) -> Totals:
        """The size of what the loss is a mean over; 1 where nothing is selected, so that the mean is 0."""
        lengths = [
            completion.drawn
            for group, selected_G in zip(self.groups, self.selected_PG.tolist(), strict=True)
            for completion, selected in zip(group.completions, selected_G, strict=True)
            if selected
        ]
        return Totals(sequences=max(1, len(lengths)), tokens=max(1, sum(lengths)), longest=self.longest)

    def spread(self) -> dict[str, float]:
        """How the advantages are spread, by the names of the glossary."""
        return {
            "advantage_std": float(self.advantage_PG.std()),
            "positive_advantage": float((self.advantage_PG > 0).double().mean()),
            "zero_advantage": float((self.advantage_PG == 0).double().mean()),
        }


@dataclass(frozen=True)
class Minibatch:
    """The data of one optimiser step: this process's passes, the size of the whole, and the share of all its groups
    that have something to teach (see GateRule)."""

    passes: list[Pass]
    totals: Totals
    signal: float

    @classmethod
    def of(cls, policy: Policy, worth: Worth, mine: Worth, objective: Objective, tokens_per_pass: int) -> "Minibatch":
        """`mine`: the part of it that this process trains on. Where no KL term, entropy bonus or survey asks for them,
        completions of advantage 0 are left out: their gradient is 0."""
        needed_PG = torch.ones_like(mine.selected_PG) if objective.keeps_all else mine.advantage_PG != 0
        if mine.masked_PG is not None:
            needed_PG = needed_PG & ~mine.masked_PG
        passes = []
        for shared, advantage_B, sampled in cut(
            mine.groups, mine.advantage_PG, needed_PG, tokens_per_pass, policy.tokens_held
        ):
            batch = pack(shared, policy.device)
            sampled_BT = None if objective.from_solutions else batch.spread(torch.tensor(sampled, device=policy.device))
            passes.append(Pass(batch, advantage_B.to(policy.device), sampled_BT))
        signal = float((worth.advantage_PG != 0).any(-1).float().mean())
        return cls(passes, worth.totals(), signal)


def improve(
    policy: Policy,
    optimiser: Optimiser,
    worth: Worth,
    objective: Objective,
    rollout: Rollout,
    *,
    tokens_per_pass: int,
    lr: float,
    seed: int,
    watch: Stopwatch,
    older: Callable[[], AbstractContextManager[None]] | None = None,
    world: World = ALONE,
    teaching: Teaching | None = None,
) -> Update:
    """Go `rollout.updates` times through a rollout, with one optimiser step along the objective a minibatch.

    The first step's own log-probs serve as the old ones, since the policy that sampled is the policy then, and as the
    reference's as long as no adapter changes anything. Those of later minibatches are taken before the first step.
    Where an older policy has sampled, `with older():` gives it back for a pass of its own; `rollout.old_logprobs` may
    take those of the engine in place of all these. What lies below the first
    adapter is computed once. A step with a loss or gradient that is not finite is dropped, and with it the rest of the
    rollout's steps. Until the policy has moved, its forward pass is that of the rollout, where that was recorded.
    `seed` is of the adapters' dropout; `watch` takes the time of the phases "reference" and "training". Each process of
    the world goes through its problems of every minibatch, and the gradient of all is the sum."""
    temperature, updates = rollout.temperature, rollout.updates
    minibatches = [
        Minibatch.of(policy, worth.part(places), worth.part(world.mine(places)), objective, tokens_per_pass)
        for places in divided(len(worth.groups), rollout.minibatches)
    ]
    for minibatch in minibatches:
        minibatch.passes.extend(map(Pass.without_tokens, idle(policy, world, len(minibatch.passes))))
    passes = [one for minibatch in minibatches for one in minibatch.passes]
    given = rollout.old_logprobs == "sampler"
    with watch("training"):
        if objective.kl_coef or rollout.optimiser_steps > 1 or (older and not given):
            for one in passes:
                one.trunk = policy.trunk(one.batch)
        with older() if older and not given else nullcontext():
            for one in passes if older or given else passes[len(minibatches[0].passes) :]:
                one.old_BT = one.sampled_BT if given else _fixed(policy, one, temperature, replay=not older)
    if objective.kl_coef and (older or given or not policy.is_its_reference):
        with watch("reference"), policy.reference():
            for one in passes:
                one.reference_BT = _fixed(policy, one, temperature)
    if teaching:
        with watch("reference"):
            for one in passes:
                teaching.tell(one, temperature)
    [tokens] = world.sum(sum(len(one.batch.target_M) for one in passes))
    update = Update(tokens=int(tokens))
    whole = worth.totals()
    with watch("training"):
        for number in range(1, updates + 1):
            sampled = number == updates and not objective.kl_coef
            kl = {"kl": kl_of_sample(policy, worth.groups, temperature, world)} if sampled else {}
            measures = Measures(objective, whole, len(minibatches), rollout.importance)
            update.passes = number
            for minibatch in minibatches:
                optimiser.zero_grad()
                with torch.random.fork_rng():
                    torch.manual_seed(seed + update.applied)
                    replay = update.applied == 0 and not older
                    if objective.surveys:
                        survey(policy, minibatch.passes, objective, temperature, replay=replay, world=world)
                    _backward(policy, minibatch, objective, temperature, measures, replay=replay)
                update.measures = measures.as_plain(world) | kl
                world.sum_gradients(optimiser.named.values())
                step_if_finite(optimiser, update, lr, minibatch.signal)
                if update.dropped:
                    return update
    return update


def first_pass(policy: Policy, worth: Worth, tokens_per_pass: int) -> PackedBatch:
    """As many of a rollout's completions as fit one pass, whatever their advantages."""
    everything_PG = torch.ones_like(worth.selected_PG)
    shared, _, _ = next(cut(worth.groups, worth.advantage_PG, everything_PG, tokens_per_pass, policy.tokens_held))
    return pack(shared, policy.device)


def divided(problems: int, minibatches: int) -> list[range]:
    """So many runs of problems, in order, whose sizes differ by one at most."""
    bounds = [problems * number // minibatches for number in range(minibatches + 1)]
    return [range(start, end) for start, end in pairwise(bounds)]


def cut(
    groups: Sequence[Group],
    advantage_PG: Tensor,
    needed_PG: Tensor,
    tokens_per_pass: int,
    held: Callable[[Sequence[Shared]], int] = packed_tokens,
) -> Iterator[tuple[list[Shared], Tensor, list[float]]]:
    """Cut the groups into passes that hold at most `tokens_per_pass` tokens (a single completion may take more): what
    is packed, the advantage of each completion, and the log-probs at which their tokens were sampled, one by one.

    A group that does not fit is continued in the next pass, where its prompt stands again. Completions that are not
    needed (needed_PG: bool) are left out."""
    shared: list[Shared] = []
    advantages: list[float] = []
    sampled: list[float] = []
    for group, advantage_G, needed_G in zip(groups, advantage_PG.tolist(), needed_PG.tolist(), strict=True):
        members: list[Completion] = []
        trace = group.trace and group.trace.of_prompt()
        for member, (advantage, needed) in enumerate(zip(advantage_G, needed_G, strict=True)):
            if not needed:
                continue
            completion = group.completions[member]
            before = shared[:-1] if members else shared
            if shared and held([*before, shared_of(group, [*members, completion])]) > tokens_per_pass:
                yield shared, torch.tensor(advantages), sampled
                before, advantages, sampled, members = [], [], [], []
                trace = group.trace and group.trace.of_prompt()
            members.append(completion)
            if trace and group.trace:
                trace.completions.append(group.trace.completions[member])
            shared = [*before, shared_of(group, members, trace)]
            advantages.append(advantage)
            sampled += completion.logprobs
    if shared:
        yield shared, torch.tensor(advantages), sampled


@torch.no_grad()
def _fixed(policy: Policy, one: Pass, temperature: float, *, replay: bool = False) -> Tensor:
    """Log-probs of the policy as it is now. `replay`: see Policy.log_probs."""
    return policy.log_probs(one.batch, temperature=temperature, trunk=one.trunk, replay=replay)


def _backward(
    policy: Policy,
    minibatch: Minibatch,
    objective: Objective,
    temperature: float,
    measures: Measures,
    *,
    replay: bool,
) -> None:
    """Add up the gradient over the passes of a minibatch, and what is measured of them. `replay`: see
    Policy.log_probs."""
    with policy.training():
        for one in minibatch.passes:
            mask_BT = one.batch.mask_BT
            logp = log_probs(policy, one, objective, temperature, replay=replay)
            if one.is_idle:
                logp.policy_BT.sum().backward()
                continue
            loss = objective(logp, one.advantage_B, mask_BT, minibatch.totals, measures.correction)
            loss.backward()
            measures.add(logp, one.advantage_B, mask_BT, loss)
