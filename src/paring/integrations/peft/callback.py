"""L1RA in transformers' Trainer and in TRL's: the gates' learning rate and rule, and the rank events."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from paring.adapters.gates import Factors
from paring.adapters.importance import watched
from paring.adapters.kinds import Gated, L1ra, check_events
from paring.adapters.moving import move_ranks
from paring.adapters.ranks import RankEvent
from paring.integrations.peft.l1ra_config import GatedConfig
from paring.integrations.peft.l1ra_layer import L1raLinear
from paring.integrations.peft.l1ra_model import adapters_of, config_of, configs_of, layers_of, note_ranks
from paring.integrations.peft.l1ra_optimiser import Following, bare, follow, separate


class L1raCallback(TrainerCallback):
    """Give one to `callbacks` of Trainer, SFTTrainer or GRPOTrainer with a model or peft_config of L1raConfig.

    The gates get a group of the optimiser for themselves when training begins. After each optimiser step the gate rule
    moves them on; at rank events the ranks move in place, and the optimiser's state with them. Each event is a line of
    `ranks.jsonl` in the output folder, in the form of paring's own runs. All follows from the model, the number of
    the step and that record, so that a resumed run goes on as the uninterrupted one would have.

    Components are measured in the trainer's own passes of the step before an event, by the gradients of its own loss: a
    callback has no pass of its own. What they are worth is then in the unit of that loss, were it a mean over tokens.
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
        self.model, self.optimiser, self.watch = model, optimizer, ExitStack()
        self.adapter = trained_adapter(model)
        self.method: Gated = config_of(model, self.adapter).method
        check_events(self.method, state.max_steps)
        self.rule = self.method.gate_rule(state.max_steps)
        self.gated = {
            path: Factors(*layer.factors(self.adapter), torch.zeros_like(layer.factors(self.adapter)[2].data))
            for path, layer in layers_of(model, self.adapter).items()
        }
        self.group = separate(bare(optimizer), [one.c_R for one in self.gated.values()], self.rule.lr)
        follow(lr_scheduler, bare(optimizer), self.group)
        assert args.output_dir is not None
        self.record = Path(args.output_dir) / "ranks.jsonl"
        self._go_on(_rewind(self.record, state.global_step), state.max_steps)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if self.method.is_event(state.global_step + 1, state.max_steps):
            adapters = adapters_of(self.model, self.adapter)
            self.seen = self.watch.enter_context(watched(layers_of(self.model, self.adapter), adapters))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.watch.close()
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
        adapters = adapters_of(self.model, self.adapter)
        event = move_ranks(
            self.method,
            adapters,
            # As if the loss were a mean over the tokens of the step.
            {path: replace(one, places=1 / max(1, one.inputs)) for path, one in self.seen.items()},
            Following(bare(self.optimiser), adapters),
            fresh={path: one.fresh for path, one in self.gated.items()},
            step=step,
            steps=steps,
            seed=args.seed,
            matrices_lr=args.learning_rate,
        )
        note_ranks(self.model)
        with self.record.open("a", encoding="ascii", newline="\n") as file:
            file.write(json.dumps(vars(event)) + "\n")
        self._go_on(event, steps)

    def _go_on(self, event: RankEvent | None, steps: int) -> None:
        """The state after the last rank event: which components are new, and the weight of L1 on each."""
        if event is None:
            return
        weights = self.method.weights(event, steps) if isinstance(self.method, L1ra) else {}
        for path, one in self.gated.items():
            weight_R = one.c_R.new_tensor(weights.get(path, (0.0,) * len(one.c_R)))
            self.gated[path] = replace(one, fresh=event.grown.get(path, 0), weight_R=weight_R)


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


def _rewind(record: Path, step: int) -> RankEvent | None:
    """Cut off what a run that resumes after `step`, or starts anew, will write again; a torn last line as well. Returns
    the last event that stays."""
    if not record.exists():
        return None
    lines = [line for line in record.read_text(encoding="ascii").splitlines(keepends=True) if line.endswith("\n")]
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    record.write_text("".join(kept), encoding="ascii", newline="\n")
    return RankEvent(**json.loads(kept[-1])) if kept else None
