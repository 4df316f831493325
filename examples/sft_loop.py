"""Supervised fine-tuning on one page: its losses are those of `paring train quickstart objective.kind=sft`."""

from collections.abc import Iterator

import torch

from paring import load_run
from paring.adapters.attach import attach, parameters_by_name
from paring.policy.chat import answer_tokens
from paring.policy.loading import load_base
from paring.policy.model import Policy
from paring.policy.packing import pack_examples
from paring.training.config import Run
from paring.training.draws import items_of_step


def supervised(run: Run) -> Iterator[float]:
    """Fine-tune the run's model on the worked solutions of its task; yields the loss of each step, in nats a token.

    B solutions a step, T tokens of a solution."""
    model, tokenizer = load_base(run.model)  # frozen
    adapters = attach(model, run.adapter, seed=run.seed)  # what is trained
    policy = Policy(model, tokenizer, adapters)
    weights = list(parameters_by_name(adapters).values())
    adam = torch.optim.AdamW(weights, lr=run.optimiser.lr, betas=run.optimiser.betas, weight_decay=0.0)
    warm_up = torch.optim.lr_scheduler.LambdaLR(adam, lambda done: min(1.0, (done + 1) / run.optimiser.warmup))
    problems = run.task.problems("train")

    for step in range(1, run.steps + 1):
        drawn = items_of_step(problems, run.rollout.problems, seed=run.seed, step=step)
        solved = [[*problem.messages, {"role": "assistant", "content": problem.solution}] for problem in drawn]
        batch = pack_examples([answer_tokens(tokenizer, chat) for chat in solved], policy.device)

        logp_BT = policy.log_probs(batch, temperature=1.0)  # of the solutions; prompts are read and not learned
        loss = -logp_BT.sum() / batch.mask_BT.sum()

        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, run.optimiser.max_grad_norm)
        adam.step()
        warm_up.step()
        yield loss.item()


if __name__ == "__main__":
    torch.set_num_threads(1)  # so small a model gains nothing from a second one
    for step, loss in enumerate(supervised(load_run("quickstart")), start=1):
        print(f"step {step}  loss {loss:.4f}")
