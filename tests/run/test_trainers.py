"""L1RA in the trainers of transformers and TRL: what the callback does to ranks, groups and state, and resuming."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments

pytest.importorskip("peft")

from peft import PeftModel, get_peft_model

from paring.integrations.peft import (
    L1raCallback,
    L1raConfig,
    L1raReferenceConfig,
    adapters_of,
    l1ra_param_groups,
)

STEPS = 8
QUICK = {"r": 4, "task_type": "CAUSAL_LM", "events": 4, "reach": 4.0, "settle": 0.1}
"""Events after 2, 4, 6 and 7 steps."""


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def rows(count: int = 64) -> list[dict]:
    generator = torch.Generator().manual_seed(5)
    tokens_BT = torch.randint(3, 40, (count, 8), generator=generator)
    return [{"input_ids": tokens_T, "labels": tokens_T} for tokens_T in tokens_BT]


def arguments(folder, **changes) -> TrainingArguments:
    settings = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 5e-3,
        "weight_decay": 0.1,
        "warmup_steps": 2,
        "lr_scheduler_type": "cosine",
        "save_steps": 4,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_steps": 100,
        "seed": 3,
    }
    return TrainingArguments(**settings | changes)


def trainer_of(folder, config=None, optimizers=(None, None), **changes) -> Trainer:
    model = get_peft_model(tiny_llama(), config or L1raConfig(**QUICK))
    return Trainer(
        model=model,
        args=arguments(folder, **changes),
        train_dataset=rows(),
        callbacks=[L1raCallback()],
        optimizers=optimizers,
    )


def events(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "ranks.jsonl").read_text().splitlines()]


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainer") / "run"
    trainer = trainer_of(folder)
    trainer.train()
    return folder, trainer


def test_ranks_move_within_the_budget(finished):
    folder, trainer = finished
    rows = events(folder)
    assert [row["step"] for row in rows] == [2, 4, 6, 7]
    assert any(row["pruned"] for row in rows) and any(row["grown"] for row in rows)
    adapters = adapters_of(trainer.model)
    assert rows[-1]["ranks"] == {path: one.rank for path, one in adapters.items()}
    one_each = sum(one.in_features + one.out_features for one in adapters.values())
    for row in rows:  # from 8 in every module at the start to 4 after 7 steps
        held = sum(rank * row["cost"][path] for path, rank in row["ranks"].items())
        assert held + row["unassigned"] == int((8 - 4 * row["step"] / 7) * one_each)
    assert rows[-1]["unassigned"] >= 0


def test_the_gates_have_a_group_of_their_own(finished):
    _, trainer = finished
    gates = {id(one.c_R) for one in adapters_of(trainer.model).values()}
    groups = trainer.optimizer.param_groups
    own = [group for group in groups if any(id(one) in gates for one in group["params"])]
    assert len(own) == 1 and {id(one) for one in own[0]["params"]} == gates
    assert (own[0]["lr"], own[0]["weight_decay"]) == (4.0 / STEPS, 0.0)
    assert groups[0]["weight_decay"] == 0.1 and groups[0]["lr"] < 5e-3
    everything = [id(one) for group in groups for one in group["params"]]
    assert len(everything) == len(set(everything)) == 3 * len(gates)


def test_the_state_has_the_shapes_of_the_parameters(finished):
    _, trainer = finished
    for one in adapters_of(trainer.model).values():
        for parameter in (one.A_RI, one.B_OR, one.c_R):
            held = trainer.optimizer.state[parameter]
            assert held["exp_avg"].shape == held["exp_avg_sq"].shape == parameter.shape
            assert int(held["step"]) == STEPS


def test_a_checkpoint_has_the_groups_that_trainer_builds(finished):
    folder, trainer = finished
    saved = torch.load(folder / "checkpoint-4" / "optimizer.pt", weights_only=True)
    decayed = [one for one in trainer.model.parameters() if one.requires_grad]
    assert [len(group["params"]) for group in saved["param_groups"]] == [len(decayed), 0]
    tensors = load_file(folder / "checkpoint-4" / "adapter_model.safetensors")
    names = [name for name, one in trainer.model.named_parameters() if one.requires_grad]
    for number, name in enumerate(names):
        shape = tensors[name.replace(".default", "")].shape
        assert saved["state"][number]["exp_avg"].shape == shape


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(finished, tmp_path):
    """Killed after the events of steps 2 and 4, and resumed by a new model whose ranks are those of the start."""
    folder, whole = finished
    again = tmp_path / "run"
    shutil.copytree(folder, again)
    assert any(row["pruned"] for row in events(again)[:2])
    trainer = trainer_of(again)
    trainer.train(resume_from_checkpoint=str(again / "checkpoint-4"))
    expected, found = trained(whole.model), trained(trainer.model)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    assert (again / "ranks.jsonl").read_text() == (folder / "ranks.jsonl").read_text()
    for one, other in zip(adapters_of(whole.model).values(), adapters_of(trainer.model).values(), strict=True):
        assert torch.equal(whole.optimizer.state[one.B_OR]["exp_avg"], trainer.optimizer.state[other.B_OR]["exp_avg"])


def test_the_same_trainer_resumes_too(finished, tmp_path):
    """Its optimiser has the gates' group already when the state is loaded."""
    folder, whole = finished
    again = tmp_path / "run"
    shutil.copytree(folder, again)
    trainer = trainer_of(again)
    trainer.train()
    trainer.train(resume_from_checkpoint=str(again / "checkpoint-4"))
    for name, value in trained(whole.model).items():
        assert torch.equal(value, trained(trainer.model)[name]), name


def test_a_checkpoint_after_an_event_is_an_adapter(finished):
    folder, trainer = finished
    tokens = rows()[0]["input_ids"][None]
    model = PeftModel.from_pretrained(tiny_llama(), folder / f"checkpoint-{STEPS}").eval()
    with torch.no_grad():
        expected = trainer.model.eval()(tokens).logits
        torch.testing.assert_close(model(tokens).logits, expected, rtol=0, atol=1e-6)


def test_groups_of_ones_own_give_the_same_run(finished, tmp_path):
    """Without a schedule both ways of grouping are the same; the schedule of Trainer goes through all groups."""
    model = get_peft_model(tiny_llama(), L1raConfig(**QUICK))
    groups = l1ra_param_groups(model, lr=5e-3, steps=STEPS, weight_decay=0.1)
    trainer = Trainer(
        model=model,
        args=arguments(tmp_path / "own", save_strategy="no"),
        train_dataset=rows(),
        callbacks=[L1raCallback()],
        optimizers=(torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8), None),
    )
    trainer.train()
    for name, value in trained(finished[1].model).items():
        torch.testing.assert_close(trained(trainer.model)[name], value)


def test_the_reference_variant_forgets_its_moments_at_an_event(tmp_path):
    config = L1raReferenceConfig(r=4, lora_alpha=4, task_type="CAUSAL_LM", events=2, gate_lr=0.4, prune_below=0.9)
    trainer = trainer_of(tmp_path, config, save_strategy="no")
    trainer.train()
    (event,) = events(tmp_path)
    assert event["step"] == STEPS // 2 and event["pruned"]
    assert {int(held["step"]) for held in trainer.optimizer.state.values()} == {STEPS // 2}


@pytest.mark.parametrize("optim", ["adafactor", "sgd"])
def test_other_optimisers_go_on(optim, tmp_path):
    trainer = trainer_of(tmp_path, optim=optim, save_strategy="no", lr_scheduler_type="linear")
    if optim == "adafactor":
        with pytest.warns(UserWarning, match="start anew"):
            trainer.train()
    else:
        trainer.train()
    assert events(tmp_path)[-1]["step"] == STEPS - 1


def test_a_model_without_l1ra_is_refused(tmp_path):
    trainer = Trainer(model=tiny_llama(), args=arguments(tmp_path), train_dataset=rows(), callbacks=[L1raCallback()])
    with pytest.raises(ValueError, match="trains one L1RA adapter, and the trained ones are: none"):
        trainer.train()


def test_more_events_than_steps_are_refused(tmp_path):
    trainer = trainer_of(tmp_path, L1raConfig(**QUICK | {"events": STEPS + 1}))
    with pytest.raises(ValueError, match="events = 9: ranks move in the first 7 of 8 steps"):
        trainer.train()


@pytest.fixture
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3} | {f"w{number}": number for number in range(4, 40)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def test_sft_trainer(tokenizer, tmp_path):
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    texts = [" ".join(f"w{4 + (row * 7 + place) % 36}" for place in range(8)) for row in range(32)]
    args = trl.SFTConfig(**shared(tmp_path), max_length=16)
    trainer = trl.SFTTrainer(
        model=tiny_llama(),
        args=args,
        train_dataset=Dataset.from_dict({"text": texts}),
        processing_class=tokenizer,
        peft_config=L1raConfig(**QUICK),
        callbacks=[L1raCallback()],
    )
    trainer.train()
    assert any(row["pruned"] for row in events(tmp_path))


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_grpo_trainer(beta, tokenizer, tmp_path):
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    def reward(completions, **_):
        return [float(text.count("w1") + text.count("w2")) for text in completions]

    model = get_peft_model(tiny_llama(), L1raConfig(**QUICK, init_weights=False))
    args = trl.GRPOConfig(**shared(tmp_path), num_generations=4, max_completion_length=6, beta=beta)
    trainer = trl.GRPOTrainer(
        model=model,
        args=args,
        reward_funcs=reward,
        train_dataset=Dataset.from_dict({"prompt": [f"w{4 + row} w{5 + row}" for row in range(16)]}),
        processing_class=tokenizer,
        callbacks=[L1raCallback()],
    )
    if beta:
        # The reference is a copy of the adapter as it is now. Its B is not 0: TRL must have found all tensors.
        for one, copied in zip(adapters_of(model).values(), adapters_of(model, "ref").values(), strict=True):
            assert torch.equal(one.A_RI, copied.A_RI) and torch.equal(one.B_OR, copied.B_OR)
    trainer.train()
    assert any(row["pruned"] for row in events(tmp_path))
    assert beta == 0 or all(one.rank == 8 for one in adapters_of(model, "ref").values())


def shared(folder) -> dict:
    """What all trainers are told."""
    return {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "learning_rate": 5e-3,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "seed": 3,
    }
