"""TRL's trainer with our objectives: rewards to gradient as in our own loop, L1RA's callback, saving and resuming."""

import shutil
from dataclasses import replace
from typing import get_args

import pytest
import torch

pytest.importorskip("trl")
pytest.importorskip("peft")

from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from paring.adapters.attach import attach, load_state, parameters_by_name
from paring.adapters.kinds import Lora
from paring.integrations.peft import L1raCallback, L1raConfig
from paring.integrations.trl import ObjectiveTrainer
from paring.maths.advantages import Outcome
from paring.maths.objectives import (
    AnyObjective,
    ClipCov,
    Dapo,
    Distillation,
    Grpo,
    KlCov,
    Nsr,
    OwnObjective,
    Rec,
    Reinforce,
    Rgra,
    Sft,
)
from paring.policy.loading import EMBEDDED
from paring.policy.model import Policy
from paring.rollout.engine import Rollout
from paring.runtime.machine import Stopwatch
from paring.training.optim import Adam, Optimiser
from paring.training.update import Worth, improve
from paring.types import Completion, Group, Problem

SIZE, PROBLEMS, LONGEST = 4, 4, 8
OBJECTIVES = [
    Rgra(),
    Rgra(kl_coef=0.3, reduce="constant", entropy_coef=0.05),
    Rgra(top_entropy=0.4, reduce="per-token"),
    Grpo(clip_low=0.1, kl_coef=0.2, kl_weighted=True),
    Reinforce(reward="signed"),
    Dapo(overlong_share=0.5, overlong_filter=True, redraws=0),
    Rec(ratio=True),
    Nsr(clip=0.2, count="trained"),
    ClipCov(share=0.9, cov_low=0.3),
    KlCov(share=0.1),
]
REFUSED = Sft, Distillation
OTHER_KINDS = set(get_args(get_args(AnyObjective)[0])) - {type(one) for one in OBJECTIVES} - {*REFUSED, OwnObjective}
OBJECTIVES += [kind() for kind in sorted(OTHER_KINDS, key=str)]


def half(completions, **_):
    return [0.5 * (sum(map(ord, one)) % 2) for one in completions]


def long(completions, **_):
    return [float(sum(map(ord, one)) % 3 == 0) for one in completions]


def lora_model():
    """The model that ships, with PEFT's adapters on two modules, whose B is not 0."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(EMBEDDED)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.05)
    return model


def trainer_of(folder, model, objective, **changes):
    settings = {
        "output_dir": str(folder),
        "max_steps": 4,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": SIZE * PROBLEMS // 2,
        "gradient_accumulation_steps": 2,
        "num_generations": SIZE,
        "max_completion_length": LONGEST,
        "report_to": "none",
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "save_steps": 2,
        "logging_steps": 100,
        "seed": 1,
    }
    return ObjectiveTrainer(
        model,
        [half, long],
        GRPOConfig(**settings | changes),
        objective=objective,
        correct_at=0.5,
        processing_class=AutoTokenizer.from_pretrained(EMBEDDED),
        train_dataset=Dataset.from_list([{"prompt": f"{number} + 1 ="} for number in range(40)]),
        **(
            {"callbacks": [L1raCallback()]}
            if isinstance(getattr(model, "peft_config", {}).get("default"), L1raConfig)
            else {}
        ),
    )


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    return trainer_of(tmp_path_factory.mktemp("trl"), lora_model(), Rgra())


@pytest.fixture(scope="module")
def rollout(trainer):
    """The groups of TRL's first rollout, which is kept, and their rewards."""
    kept = []
    real = trainer._generate_single_turn
    trainer._generate_single_turn = lambda *args, **kwargs: (
        kept[0] if kept else kept.append(real(*args, **kwargs)) or kept[0]
    )
    rows = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    output = trainer._generate_and_score_completions(rows)
    outcome, _ = trainer._outcome(SIZE)
    groups = []
    for first in range(0, len(rows), SIZE):
        prompt = output["prompt_ids"][first][output["prompt_mask"][first].bool()]
        answers = [
            output["completion_ids"][at][output["completion_mask"][at].bool()] for at in range(first, first + SIZE)
        ]
        completions = [Completion(tuple(one.tolist()), (0.0,) * len(one), "", True) for one in answers]
        groups.append(Group(Problem(str(first), (), ""), tuple(prompt.tolist()), tuple(completions)))
    return rows, groups, outcome


def test_the_outcome_is_that_of_the_reward_functions(trainer, rollout):
    _, groups, outcome = rollout
    texts = [
        trainer._tokenizer.decode(one.tokens, skip_special_tokens=True) for group in groups for one in group.completions
    ]
    rewards = [one + other for one, other in zip(half(texts), long(texts), strict=True)]
    assert outcome.reward_PG.flatten().tolist() == rewards and len(set(rewards)) > 1
    assert outcome.correct_PG.flatten().tolist() == [reward >= 0.5 for reward in rewards]
    assert outcome.length_PG.flatten().tolist() == [len(one.tokens) for group in groups for one in group.completions]
    assert outcome.parts_PG["half"].flatten().tolist() == half(texts)


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Our own, with the same adapters."""
    model = lora_model()
    tensors = {}
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            path, _, kind = name.removeprefix("base_model.model.").rpartition(".lora_")
            tensors[f"{path}.{kind[0]}"] = parameter.data.clone()
    base = model.unload()
    adapters = attach(base, Lora(rank=4, alpha=8.0, targets=["q_proj", "down_proj"]), seed=0)
    load_state(adapters, tensors)
    return Policy(base, AutoTokenizer.from_pretrained(EMBEDDED), adapters)


def our_gradient(policy, objective, groups, outcome: Outcome, mask_truncated: bool) -> dict[str, torch.Tensor]:
    """That of our own loop, at a learning rate of 0."""
    parameters = parameters_by_name(policy.adapters)
    worth = Worth.of(objective, groups, outcome, mask_truncated=mask_truncated)
    optimiser = Optimiser(parameters, Adam(max_grad_norm=1e9))
    sizes = Rollout(problems=len(groups), group_size=SIZE, max_new_tokens=LONGEST)
    plain = {"tokens_per_pass": 10_000, "lr": 0.0, "seed": 0, "watch": Stopwatch()}
    for parameter in parameters.values():
        parameter.grad = None
    torch.manual_seed(7)
    improve(policy, optimiser, worth, objective, sizes, **plain)
    return {name: parameter.grad for name, parameter in parameters.items()}


@pytest.mark.parametrize(
    ("objective", "mask_truncated"), [*((one, False) for one in OBJECTIVES), (Rgra(kl_coef=0.3), True)], ids=str
)
def test_the_gradient_is_that_of_our_own_loop(trainer, rollout, policy, objective, mask_truncated):
    """From the rows of TRL's data loader, through its own training step, in two micro-batches of shuffled answers."""
    rows, groups, outcome = rollout
    trainer.objective, trainer.beta, trainer._window = objective, objective.kl_coef, None
    trainer.mask_truncated_completions = mask_truncated
    trainer._step, trainer._buffered_inputs, trainer.current_gradient_accumulation_steps = 0, None, 2
    trainer.model.zero_grad()
    for _ in range(2):
        trainer.training_step(trainer.model, rows, None)
    found = {}
    for name, parameter in trainer.model.named_parameters():
        if "lora_" in name:
            path, _, kind = name.removeprefix("base_model.model.").rpartition(".lora_")
            found[f"{path}.{kind[0]}"] = parameter.grad
    expected = our_gradient(policy, objective, groups, outcome, mask_truncated)
    assert found.keys() == expected.keys()
    whole, own = (torch.cat([part[name].flatten() for name in sorted(part)]) for part in (expected, found))
    assert whole.norm() > 1e-6 and (whole - own).norm() < 1e-4 * whole.norm()


def test_with_l1ra_s_callback_a_resumed_run_ends_with_the_same_bytes(tmp_path):
    """Ranks move after step 2 and 4, the run is saved after step 2, and TRL resumes it."""

    def run(folder, **changes):
        torch.manual_seed(0)
        base = AutoModelForCausalLM.from_pretrained(EMBEDDED)
        config = L1raConfig(
            r=3,
            lora_alpha=6,
            target_modules=["q_proj", "down_proj"],
            task_type="CAUSAL_LM",
            events=2,
            shrink=30.0,
            reach=3.0,
        )
        return trainer_of(folder, get_peft_model(base, config), Rgra(std=False), learning_rate=1e-2, **changes)

    run(tmp_path / "whole").train()
    shutil.copytree(tmp_path / "whole", tmp_path / "whole2")
    shutil.rmtree(tmp_path / "whole2/checkpoint-4")
    run(tmp_path / "whole2").train(resume_from_checkpoint=str(tmp_path / "whole2/checkpoint-2"))
    tensors = [load_file(tmp_path / name / "checkpoint-4/adapter_model.safetensors") for name in ("whole", "whole2")]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert (tmp_path / "whole/ranks.jsonl").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("changes", "objective", "words"),
    [
        ({"loss_type": "grpo"}, Rgra(), "loss_type='grpo': the objective says what the loss is; leave it at 'dapo'"),
        ({"beta": 0.1}, Rgra(), "beta=0.1: the objective's kl_coef is 0.0"),
        ({"steps_per_generation": 1}, Rgra(), "steps_per_generation=1: an optimiser step of 2 micro-batches"),
        ({}, Sft(), "use TRL's SFTTrainer"),
        ({}, Distillation(teacher="self", reward_coef=1.0), "use `paring train`, or TRL's GKDTrainer"),
        ({}, Rgra(entropy_target=0.2), "give a fixed entropy_coef"),
    ],
)
def test_what_the_objective_says_otherwise_is_refused_before_any_work(tmp_path, changes, objective, words):
    with pytest.raises(ValueError, match=words):
        trainer_of(tmp_path, None, objective, **changes)


def test_trl_s_weights_for_vllm_are_ours(monkeypatch):
    from paring.integrations.trl_settings import correction_of
    from paring.maths.mismatch import Correction

    config = GRPOConfig(bf16=False, use_cpu=True)
    assert correction_of(config) is None
    config.use_vllm = True
    assert correction_of(config) == Correction("mis", 3.0)
    config.vllm_importance_sampling_mode, config.vllm_importance_sampling_clip_min = "token_mask", 0.5
    assert correction_of(config) == replace(Correction("icepop", 3.0), least=0.5)
