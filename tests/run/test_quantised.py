"""Training beside a quantised base: L1RA on 4-bit and 8-bit layers, from a recipe to an adapter that PEFT reads."""

import pytest
import torch

from paring import train
from paring.adapters.attach import attach, parameters_by_name
from paring.adapters.kinds import Lora
from paring.policy.bases import BaseIdentity
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.policy.quantised import mend
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.runtime.journal import read_rows
from paring.subjects.export import export
from paring.subjects.opening import open_subject
from paring.tasks.arithmetic import Arithmetic
from paring.training.method import preview
from paring.training.setup import prepare
from paring.types import Key

bitsandbytes = pytest.importorskip("bitsandbytes")


def dequantised(module):
    """The weight that a quantised layer stands for: fp32 [out, in]. In 4 bits by NF4's definition, number by number:
    bitsandbytes' CPU kernel has the blocks of 64 in the wrong places where rows are not of whole blocks."""
    weight = module.weight
    if type(module).__name__ == "Linear4bit":
        state, packed_N = weight.quant_state, weight.data.flatten()
        place_N = torch.stack([packed_N >> 4, packed_N & 15], dim=1).flatten().int()
        largest = bitsandbytes.functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
        value_N = state.code[place_N] * largest.repeat_interleave(state.blocksize)[: len(place_N)]
        return value_N.view(state.shape)
    state = module.state
    rows, scale = (weight.data, weight.SCB) if state.CB is None else (state.CB, state.SCB)
    return bitsandbytes.functional.int8_vectorwise_dequant(rows, scale).float()


def test_four_bits_hold_what_they_should():
    """NF4 of normal numbers is wrong by about 9 % of their norm, in every shape."""
    dense, _ = load_base(Model(device="cpu"))
    quantised, _ = load_base(Model(quantisation="4bit", device="cpu"))
    shapes = set()
    for path, module in quantised.named_modules():
        if type(module).__name__ == "Linear4bit":
            expected, x = dense.get_submodule(path).weight, torch.eye(module.in_features)
            assert (dequantised(module) - expected).norm() < 0.12 * expected.norm()
            torch.testing.assert_close(module(x).T, dequantised(module))
            shapes.add(module.in_features % 64)
    assert shapes == {0, 32}  # of whole blocks, and not


def test_a_weight_of_broken_blocks_is_refused():
    layer = bitsandbytes.nn.Linear4bit(10, 3, bias=False, quant_type="nf4").to("cpu")
    with pytest.raises(ValueError, match=r"0 \[3, 10\] is no whole number of blocks of 64: .* use model.quantisation"):
        mend(torch.nn.Sequential(layer), torch.float32)


@pytest.mark.parametrize("kind", ["4bit", "8bit"])
def test_a_checkpoint_that_is_quantised_is_as_one_that_is_quantised_here(kind, tmp_path):
    """Its layers are mended too, and compute in the type of the run and not in that of the checkpoint."""
    here, tokenizer = load_base(Model(quantisation=kind, device="cpu"))
    here.config.quantization_config.bnb_4bit_compute_dtype = torch.bfloat16
    here.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    stored, _ = load_base(Model(path=str(tmp_path), device="cpu"))
    token_BN = torch.arange(20)[None] + 5
    with torch.no_grad():
        torch.testing.assert_close(stored(token_BN).logits, here(token_BN).logits)
    assert not any(parameter.requires_grad for parameter in stored.parameters())
    assert Policy(stored, tokenizer, attach(stored, Lora(rank=2), seed=1)).unpacked is None


def test_a_quantised_checkpoint_without_bitsandbytes(tmp_path, monkeypatch):
    here, tokenizer = load_base(Model(quantisation="4bit", device="cpu"))
    here.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr("paring.policy.quantised.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'is quantised by bitsandbytes, which needs .*: pip install "paring\[quan'):
        load_base(Model(path=str(tmp_path), device="cpu"))


@pytest.fixture
def both():
    """Makes a quantised policy, and one whose dense fp32 base has the same, dequantised weights; the same adapters."""

    def make(quantisation, **adapter):
        policies = []
        for kind in (quantisation, "none"):
            base, tokenizer = load_base(Model(quantisation=kind, device="cpu"))
            if policies:
                quantised = {path: one.base for path, one in policies[0].adapters.items()}
                for path, module in quantised.items():
                    base.get_submodule(path).weight.data.copy_(dequantised(module))
            adapters = attach(base, Lora(rank=2, **adapter), seed=0)
            generator = torch.Generator().manual_seed(3)
            for one in adapters.values():
                one.B_OR.data.normal_(0, 0.02, generator=generator)
            policies.append(Policy(base, tokenizer, adapters))
        return policies

    return make


@pytest.mark.parametrize(("quantisation", "logps", "gradients"), [("4bit", 1e-5, 1e-5), ("8bit", 0.3, 0.15)])
def test_gradients_are_those_of_the_dequantised_base(both, quantisation, logps, gradients):
    """Log-probs in nats, gradients relative to their norm. LLM.int8 rounds the inputs of each layer as well, which the
    dense base does not; its gradient is that of the dequantised weights at those inputs."""
    quantised, dense = both(quantisation)
    problems = Arithmetic().problems("train")[:4]
    groups = LocalEngine(dense).sample(problems, 2, Sampling(max_new_tokens=12), Key(0, 1))
    found = []
    for policy in (quantised, dense):
        logp_BT = policy.log_probs(packed(groups, policy.device), temperature=1.0)
        weight_BT = torch.linspace(-1, 1, logp_BT.numel()).view_as(logp_BT)  # not all of one sign, as in training
        (weight_BT * logp_BT).sum().backward()
        found.append((logp_BT.detach(), {name: one.grad for name, one in parameters_by_name(policy.adapters).items()}))
    (logp_BT, gradient), (expected_BT, expected) = found
    torch.testing.assert_close(logp_BT, expected_BT, rtol=0, atol=logps)
    apart = torch.cat([(gradient[name] - expected[name]).flatten() for name in expected]).norm()
    assert apart < gradients * torch.cat([one.flatten() for one in expected.values()]).norm()


@pytest.mark.parametrize(
    ("changes", "most"), [({"model.quantisation": "8bit"}, 0.5), ({"model.dtype": "bfloat16"}, 0.5)]
)
def test_a_run_says_how_far_sampling_and_training_are_apart(small_run, tmp_path, changes, most):
    run = small_run(changes | {"steps": 1})
    train(run, tmp_path / "run")
    [row] = read_rows(tmp_path / "run" / "metrics.jsonl")
    gap = row["sampling_gap"]
    assert 0 < gap["mean"] <= gap["largest"] < most and gap["tokens"] >= 8
    [note] = row["notes"]
    assert note.startswith(
        f"sampling and training differ by {gap['mean']:.2g} nats a token, {gap['largest']:.2g} at most"
    )
    assert f"# {note}" in preview(run)


@pytest.mark.parametrize("quantisation", ["4bit", "8bit"])
def test_a_base_is_known_again_when_it_is_quantised(quantisation):
    dense, quantised = (
        BaseIdentity.of(load_base(Model(quantisation=q, device="cpu"))[0], q) for q in ("none", quantisation)
    )
    assert quantised.linear is None and dense.difference(quantised) is None
    other = BaseIdentity.of(load_base(Model(path="embedded-chains", device="cpu"))[0], "chains")
    assert other.difference(quantised) is not None


def test_a_dense_fp32_base_has_no_gap_to_tell(small_run):
    setup = prepare(small_run())
    assert setup.gap is None and setup.first_metrics == {}


@pytest.mark.parametrize("quantisation", ["4bit", "8bit"])
def test_l1ra_trains_beside_a_quantised_base(small_run, tmp_path, quantisation):
    folder = tmp_path / "run"
    changes = {"steps": 3, "model.quantisation": quantisation, "optimiser.lr": 0.01, "optimiser.warmup": 0}
    adapter = {"adapter.kind": "l1ra", "adapter.events": 2, "adapter.dropout": 0.1}
    train(small_run(changes | adapter | {"optimiser.weight_decay": 0.1}), folder)
    assert len(list(read_rows(folder / "ranks.jsonl"))) == 2
    policy = open_subject(str(folder)).policy
    assert any(adapter.B_OR.any() for adapter in policy.adapters.values())
    assert type(next(iter(policy.adapters.values())).base).__name__ in ("Linear4bit", "Linear8bitLt")
    export(folder, tmp_path / "exported")
    with pytest.raises(ValueError, match="load the model without quantisation"):
        export(folder, tmp_path / "merged", merged=True)
    assert torch.isfinite(torch.tensor([row["loss"] for row in read_rows(folder / "metrics.jsonl")])).all()


@pytest.mark.parametrize(
    "quantisation, dtype, tolerance",
    [("4bit", "float32", 1e-4), ("4bit", "bfloat16", 0.3), ("8bit", "float32", 0.3), ("8bit", "bfloat16", 0.3)],
)
def test_what_samples_is_what_trains(quantisation, dtype, tolerance):
    """Log-probs of a rollout, and of the pass that trains on it: nats. In 4 bits with fp32 they agree on every CPU. In
    8 bits inputs are rounded too, but for outlier columns, which are chosen from all rows of a pass."""
    base, tokenizer = load_base(Model(quantisation=quantisation, dtype=dtype, device="cpu"))
    policy = Policy(base, tokenizer, attach(base, Lora(rank=2), seed=0))
    problems = Arithmetic().problems("train")[:4]
    groups = LocalEngine(policy).sample(problems, 2, Sampling(max_new_tokens=12), Key(0, 1))
    batch = packed(groups, policy.device)
    trained_BT = policy.log_probs(batch, temperature=1.0)
    completions = [completion for group in groups for completion in group.completions]
    sampled_BT = torch.nn.utils.rnn.pad_sequence([torch.tensor(one.logprobs) for one in completions], batch_first=True)
    torch.testing.assert_close(trained_BT.detach(), sampled_BT, rtol=0, atol=tolerance)
    trained_BT.sum().backward()
    assert all(adapter.B_OR.grad.any() for adapter in policy.adapters.values())
