"""Supervised fine-tuning on low-rank adapters: draw examples, cross-entropy, update."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import torch

from paring.maths.objective import Totals, cross_entropy
from paring.policy.model import Policy
from paring.policy.packing import Labelled, pack_examples
from paring.runtime.folder import RunFolder
from paring.runtime.gpu import stopwatch
from paring.runtime.screen import Screen
from paring.tracking.listeners import OnStep
from paring.training.config import SftRun
from paring.training.draws import items_of_step
from paring.training.heldout import cut_examples, held_out_loss
from paring.training.loop import Loop, Step
from paring.training.measures import gathered, total
from paring.training.optim import Optimiser, Update, learning_rate, step_if_finite
from paring.training.passes import idle
from paring.training.policy_of_run import in_words
from paring.training.progress import Examined, Trained
from paring.training.rank_events import optimiser_of, rank_metrics
from paring.training.result import Result
from paring.training.sft_setup import SftSetup, prepare
from paring.training.shares import check_dropout, check_processes
from paring.training.world import ALONE, World
from paring.types import Key


def train(
    run: SftRun,
    folder: RunFolder,
    *,
    resume: bool,
    screen: Screen,
    on_step: OnStep | None = None,
    world: World = ALONE,
) -> Result:
    """Supervised fine-tuning in `folder`. See `method.train`."""
    world.together(lambda: check_processes(run, world.size))
    setup = prepare(run, world)
    world.together(lambda: check_dropout(setup.policy.adapters, world.size))
    optimiser = optimiser_of(run, setup.policy, run.steps)
    cuts = {"tokens_per_pass": run.optimiser.tokens_per_pass}
    validate = partial(held_out_loss, setup.policy, setup.held_out, **cuts, world=world)
    trained = Trained(setup.policy, optimiser)
    with Loop.opened(run, folder, trained, resume=resume, screen=screen, on_step=on_step, world=world) as loop:
        loop.leave_out(setup.skipped)
        for note in setup.notes:
            screen.note(note)
        title = f"supervised on {run.data.name}: {in_words(setup.policy)}, {len(setup.examples):,} examples"
        loop.begin(title, f"examples of {run.data.name}", lambda: Examined(validate().as_plain()))
        for number in loop.steps():
            step = sft_step(run, setup, optimiser, number, screen.phase, world)
            loop.record(step, "held-out loss", validate)
        if not loop.is_over:
            return loop.interrupted()
        screen.note("measuring the trained policy ...")
        with world.waiting():
            after = validate()
        return loop.finish(Examined(after.as_plain()))
    return loop.interrupted()


def sft_step(
    run: SftRun,
    setup: SftSetup,
    optimiser: Optimiser,
    number: int,
    notice: Callable[[str], None] | None = None,
    world: World = ALONE,
) -> Step:
    """One batch of examples and the update made from it. `notice` is told of each phase."""
    watch, seed = stopwatch(setup.policy.device, notice), Key(run.seed, number).number()
    examples = items_of_step(setup.examples, run.batch, seed=run.seed, step=number)
    lr = learning_rate(run.optimiser, number, run.steps)
    with watch("training"):
        tokens_per_pass = run.optimiser.tokens_per_pass
        update = fit(setup.policy, optimiser, examples, lr=lr, tokens_per_pass=tokens_per_pass, seed=seed, world=world)
    metrics = {
        "step": number,
        **({"notes": list(setup.notes)} if setup.notes and number == 1 else {}),
        "epoch": number * run.batch / len(setup.examples),
        "tokens": update.tokens,
        **update.measures,
        "learning_rate": lr,
        **rank_metrics(setup.policy.adapters),
        "training_tokens_per_second": update.tokens / watch.seconds["training"],
        "seconds_training": watch.seconds["training"],
    }
    first = next(cut_examples(examples, run.optimiser.tokens_per_pass, setup.policy.tokens_held))
    probe = partial(pack_examples, first, setup.policy.device)
    return Step(metrics, watch.elapsed(), update, probe)


def fit(
    policy: Policy,
    optimiser: Optimiser,
    examples: Sequence[Labelled],
    *,
    lr: float,
    tokens_per_pass: int,
    seed: int,
    world: World = ALONE,
) -> Update:
    """One optimiser step down the mean cross-entropy of all learned tokens, added up over passes and processes.

    A loss or gradient that is not finite drops the step. `seed` is of the adapters' dropout."""
    totals = Totals(sequences=len(examples), tokens=sum(len(example.targets) for example in examples))
    update, losses = Update(tokens=totals.tokens), []
    mine = [examples[place] for place in world.mine(range(len(examples)))]
    optimiser.zero_grad()
    with torch.random.fork_rng(), policy.training():
        torch.manual_seed(seed)
        parts = list(cut_examples(mine, tokens_per_pass, policy.tokens_held))
        whole = (pack_examples(part, policy.device) for part in parts)
        for batch in chain(whole, idle(policy, world, len(parts))):
            loss = cross_entropy(policy.log_probs(batch, temperature=1.0), batch.mask_BT, totals)
            loss.backward()
            losses.append(loss.detach())
    [update.measures["loss"]] = world.sum(total(gathered(losses)[0].tolist()))
    world.sum_gradients(optimiser.named.values())
    step_if_finite(optimiser, update, lr)
    return update
