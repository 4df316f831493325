"""RGRA on one page (arXiv 2603.18756): its rewards are those of `paring train quickstart`, step by step."""

from collections.abc import Iterator

import torch

from paring import load_run
from paring.adapters.attach import attach, parameters_by_name
from paring.maths.advantages import standardised
from paring.policy.loading import load_base
from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.rollout.local import LocalEngine
from paring.tasks.base import judged
from paring.training.config import Run
from paring.training.draws import items_of_step
from paring.types import Key


def rgra(run: Run) -> Iterator[float]:
    """Post-train the run's model on its task; yields the mean reward of each step.

    P problems, G answers to each, B = P x G answers in all, T tokens of an answer."""
    model, tokenizer = load_base(run.model)  # frozen
    adapters = attach(model, run.adapter, seed=run.seed)  # what is trained
    policy = Policy(model, tokenizer, adapters)
    engine = LocalEngine(policy)
    weights = list(parameters_by_name(adapters).values())
    adam = torch.optim.AdamW(weights, lr=run.optimiser.lr, betas=run.optimiser.betas, weight_decay=0.0)
    warm_up = torch.optim.lr_scheduler.LambdaLR(adam, lambda done: min(1.0, (done + 1) / run.optimiser.warmup))
    problems = run.task.problems("train")

    for step in range(1, run.steps + 1):
        # Sample G answers to each of P problems. The noise is a function of (seed, step), so a run can be repeated.
        drawn = items_of_step(problems, run.rollout.problems, seed=run.seed, step=step)
        groups = engine.sample(drawn, run.rollout.group_size, run.rollout.sampling, Key(run.seed, step))

        # What is an answer worth? Its reward, beside those of the other answers to its problem.
        reward_PG = torch.tensor([[score.reward for score in row] for row in judged(run.task, groups)])
        advantage_B = standardised(reward_PG).flatten()  # (r - mean) / std, within each group

        # Make the better ones likelier, the others less likely: no ratio, no clip, no critic.
        batch = packed(groups, policy.device)  # each prompt stands once for its G answers
        logp_BT = policy.log_probs(batch, temperature=run.rollout.temperature)  # 0 where there is no token
        loss = -(advantage_B * logp_BT.sum(-1) / batch.mask_BT.sum(-1)).mean()

        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, run.optimiser.max_grad_norm)
        adam.step()
        warm_up.step()
        yield float(reward_PG.mean())


if __name__ == "__main__":
    torch.set_num_threads(1)  # so small a model gains nothing from a second one
    for step, reward in enumerate(rgra(load_run("quickstart")), start=1):
        print(f"step {step}  reward {reward:.3f}")
