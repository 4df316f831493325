"""RGRA on low-rank adapters: sample, score, advantage, update (arXiv 2603.18756)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation, measure
from paring.maths.objective import Objective, steered
from paring.runtime.folder import RunFolder
from paring.runtime.gpu import stopwatch
from paring.runtime.memory import give_back_freed_memory
from paring.runtime.screen import Screen
from paring.tracking.listeners import OnStep
from paring.training.config import Run
from paring.training.loop import Loop, Step
from paring.training.optim import Optimiser, learning_rate
from paring.training.pipeline import Pipeline
from paring.training.policy_of_run import in_words
from paring.training.progress import Examined, Progress, Trained
from paring.training.rank_events import optimiser_of, rank_metrics
from paring.training.result import Result
from paring.training.sampled import sampled_part
from paring.training.setup import Setup, prepare
from paring.training.shares import check_dropout, check_processes
from paring.training.update import Worth, first_pass, improve
from paring.training.world import ALONE, World
from paring.types import Json, Key


def train(
    run: Run,
    folder: RunFolder,
    *,
    resume: bool,
    screen: Screen,
    on_step: OnStep | None = None,
    world: World = ALONE,
) -> Result:
    """Reinforcement learning in `folder`. See `method.train`."""
    world.together(lambda: check_processes(run, world.size))
    setup = prepare(run, screen.note, folder=folder.path, world=world)
    world.together(lambda: check_dropout(setup.policy.adapters, world.size))
    optimiser = optimiser_of(run, setup.policy, run.steps * run.rollout.optimiser_steps)
    greedy = replace(run.rollout.sampling, temperature=0.0)
    divide = partial(world.shared, plain=Item.as_plain, read=lambda _, plain: Item.from_plain(plain))
    measured = partial(measure, task=run.task, left_out=setup.left_out, divide=divide)
    tested = partial(measured, split="test", limit=run.evaluate.limit)
    validated = partial(measured, split="validation", limit=run.evaluate.validation_limit)
    sampled = partial(sampled_part, run, setup, tested, world)

    def test() -> tuple[Evaluation, list[Item]]:
        return tested(setup.measuring_engine(), sampling=greedy)

    def validate() -> tuple[Evaluation, list[Item]]:
        return validated(setup.measuring_engine(), sampling=greedy)

    teacher = setup.teaching.earlier if setup.teaching else None
    trained = Trained(setup.policy, optimiser, setup.sampler, teacher)
    opened = Loop.opened(run, folder, trained, resume=resume, screen=screen, on_step=on_step, world=world)
    rollouts = Pipeline(setup, run, world)
    with opened as loop:
        with setup.at_work(), rollouts.at_work():
            loop.leave_out(setup.skipped)
            for note in setup.notes:
                screen.note(note)
            title = f"{run.objective.kind} on {run.task.name}: {in_words(setup.policy)}"
            loop.begin(title, f"problems of {run.task.name}", lambda: Examined.of(*test(), sampled()))
            for number in loop.steps():
                step = rl_step(run, setup, optimiser, number, screen.phase, loop.progress, rollouts)
                loop.record(step, "validation accuracy", lambda: validate()[0])
            if not loop.is_over:
                return loop.interrupted()
            screen.note("measuring the trained policy ...")
            with world.waiting():
                evaluation, items = test()
                after = Examined.of(evaluation, items, sampled())
                validation = validate()[0].as_plain() if run.evaluate.validation_at_end else None
        loop.write_items(items)
        return loop.finish(after, validation=validation)
    return loop.interrupted()


def rl_step(
    run: Run,
    setup: Setup,
    optimiser: Optimiser,
    number: int,
    notice: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    rollouts: Pipeline | None = None,
) -> Step:
    """One rollout and the update made from it: the algorithm itself (arXiv 2603.18756, sec. 3). `notice` gets the name
    of each phase as it begins; `progress` holds the entropy bonus from step to step; `rollouts` are those of the run,
    made in this process alone where they are left out."""
    watch, objective = stopwatch(setup.policy.device, notice), setup.objective
    rollouts = rollouts or Pipeline(setup, run)
    world, collected = rollouts.world, rollouts.collected(number, watch)
    if setup.teaching:
        setup.teaching.begin(number)
    give_back_freed_memory()
    outcome = collected.outcome(run.rollout.max_new_tokens)
    worth = Worth.of(objective, collected.kept_groups, outcome, mask_truncated=run.rollout.mask_truncated)
    world.agree("the advantages", worth.advantage_PG.numpy().tobytes)
    answers = collected.metrics(sampled=not objective.from_solutions)
    bonus = entropy_bonus(objective, progress, answers.get("entropy"))
    lr = learning_rate(run.optimiser, number, run.steps)
    update = improve(
        setup.policy,
        optimiser,
        worth,
        objective if bonus is None else objective.with_entropy_coef(bonus),
        run.rollout,
        tokens_per_pass=run.optimiser.tokens_per_pass,
        lr=lr,
        seed=Key(run.seed, number).number(),
        watch=watch,
        older=setup.sampler.older,
        world=world,
        teaching=setup.teaching,
    )
    metrics = {
        "step": number,
        **(setup.first_metrics if number == 1 else {}),
        **answers,
        **collected.by_task(),
        **({} if bonus is None else {"entropy_coef": bonus}),
        **worth.spread(),
        "redrawn": len(collected.groups) - len(collected.kept),
        "staleness": setup.sampler.age,
        **update.measures,
        "learning_rate": lr,
        **rank_metrics(setup.policy.adapters),
        **setup.serving_metrics(world),
        **collected.speed(update, watch.seconds),
    }
    probe = partial(first_pass, setup.policy, worth, run.optimiser.tokens_per_pass)
    return Step(metrics, watch.elapsed(), update, probe, collected.rows(number, worth.advantage_PG))


def entropy_bonus(objective: Objective, progress: Progress | None, entropy: Json) -> float | None:
    """The weight of the entropy bonus where a target moves it, by the `entropy` of the step's answers; `progress` gets
    the coefficient of the next step."""
    if objective.entropy_target == "off":
        return None
    assert isinstance(entropy, float), "solutions are not sampled, and no objective that learns them has a target"
    held = None if progress is None else progress.entropy_coef
    coefficient = objective.entropy_coef if held is None else held
    weight, coefficient = steered(coefficient, entropy, objective.entropy_target, objective.entropy_step)
    if progress is not None:
        progress.entropy_coef = coefficient
    return weight
