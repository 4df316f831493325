"""L1RA in transformers' Trainer and in TRL's: the gates' learning rate and rule, and the rank events."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from paring.adapters.attach import apply_plan, components_of
from paring.adapters.gates import Factors
from paring.adapters.kinds import Gated, L1raReference, check_events
from paring.adapters.ranks import RankEvent, changes_the_function
from paring.integrations.peft.l1ra_config import GatedConfig
from paring.integrations.peft.l1ra_layer import L1raLinear
from paring.integrations.peft.l1ra_model import adapters_of, config_of, configs_of, layers_of, note_ranks
from paring.integrations.peft.l1ra_optimiser import bare, follow, separate, transplant


class L1raCallback(TrainerCallback):
    """Give one to `callbacks` of Trainer, SFTTrainer or GRPOTrainer with a model or peft_config of L1raConfig.

    The gates get a group of the optimiser for themselves when training begins. After each optimiser step the gate rule
    moves them on; at rank events the ranks move in place, and the optimiser's state with them. Each event is a line of
    `ranks.jsonl` in the output folder, in the form of paring's own runs. All follows from the model, the number of
    the step and that record, so that a resumed run goes on as the uninterrupted one would have.
    """

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: nn.Module, **_: object
    ) -> None:
        # Before the optimiser is built, so that its state is in fp32 as well.
        _lift_gates(model)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler,
        **_: object,
    ) -> None:
        if args.world_size > 1:
            raise ValueError(
                f"{args.world_size} processes: L1RA's ranks move in place, which DDP, FSDP and DeepSpeed do not allow; "
                "train in one process"
            )
        _lift_gates(model)
        self.model, self.optimiser = model, optimizer
        self.adapter = trained_adapter(model)
        self.method: Gated = config_of(model, self.adapter).method
        check_events(self.method, state.max_steps)
        self.rule = self.method.gate_rule(state.max_steps)
        self.gated = {
            path: Factors(*layer.factors(self.adapter)) for path, layer in layers_of(model, self.adapter).items()
        }
        self.group = separate(bare(optimizer), [one.c_R for one in self.gated.values()], self.rule.lr)
        follow(lr_scheduler, bare(optimizer), self.group)
        assert args.output_dir is not None
        self.record = Path(args.output_dir) / "ranks.jsonl"
        self._freshen(_rewind(self.record, state.global_step))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.group["lr"] = self.rule.lr  # whatever the scheduler thinks
        # The gradients of B tell whether a batch teaches anything: those of A and of the gates start at 0, as B does.
        taught = [one.B_OR.grad.any() for one in self.gated.values() if one.B_OR.grad is not None]
        self.signal = float(torch.stack(taught).any()) if taught else 0.0

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        # A gradient scaler leaves a step out whose gradients overflowed.
        if not (isinstance(self.optimiser, AcceleratedOptimizer) and self.optimiser.step_was_skipped):
            self.rule.apply_(list(self.gated.values()), self.signal)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """After zero_grad and before a checkpoint is saved: here, and only here, ranks may move."""
        step, steps = state.global_step, state.max_steps
        if not self.method.is_event(step, steps):
            return
        adapters, optimiser = adapters_of(self.model, self.adapter), bare(self.optimiser)
        before = components_of(adapters)
        plan = self.method.plan(before, step=step, steps=steps, matrices_lr=args.learning_rate)
        apply_plan(adapters, plan, self.method.draw, seed=args.seed, step=step)
        if isinstance(self.method, L1raReference) and plan.moves:
            optimiser.state.clear()
        else:
            transplant(optimiser, adapters, before, plan.moves)
        note_ranks(self.model)
        # What a removal that shows does to the policy is not measured here.
        kl = None if changes_the_function(plan, before) else 0.0
        growth = self.method.may_grow(step, steps)
        event = RankEvent.of(step, before, plan, components_of(adapters), kl=kl, growth=growth)
        with self.record.open("a", encoding="ascii", newline="\n") as file:
            file.write(json.dumps(vars(event)) + "\n")
        self._freshen(event.grown)

    def _freshen(self, counts: Mapping[str, int]) -> None:
        """How many components of each module came in at the last rank event."""
        self.gated = {path: replace(one, fresh=counts.get(path, 0)) for path, one in self.gated.items()}


def trained_adapter(model: nn.Module) -> str:
    """The name of the L1RA adapter that is trained. Raises ValueError where it is not one."""
    names = [
        name
        for name, config in configs_of(model).items()
        if isinstance(config, GatedConfig)
        and any(layer.factors(name)[2].requires_grad for layer in layers_of(model, name).values())
    ]
    if len(names) != 1:
        trained = ", ".join(names) or "none"
        raise ValueError(
            f"L1raCallback trains one L1RA adapter, and the trained ones are: {trained}; wrap the model by "
            "get_peft_model(model, L1raConfig(...)), or give the trainer peft_config=L1raConfig(...)"
        )
    return names[0]


def _lift_gates(model: nn.Module) -> None:
    """Gates in fp32, whatever PEFT and TRL made of them: in bf16 a step of theirs is often lost in rounding."""
    for module in model.modules():
        if isinstance(module, L1raLinear):
            for name in module.l1ra_c:
                gate_R = module.factors(name)[2]
                gate_R.data = gate_R.data.float()


def _rewind(record: Path, step: int) -> dict[str, int]:
    """Cut off what a run that resumes after `step`, or starts anew, will write again; a torn last line as well. Returns
    what was grown at the last event that stays."""
    if not record.exists():
        return {}
    lines = [line for line in record.read_text(encoding="ascii").splitlines(keepends=True) if line.endswith("\n")]
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    record.write_text("".join(kept), encoding="ascii", newline="\n")
    return json.loads(kept[-1])["grown"] if kept else {}
